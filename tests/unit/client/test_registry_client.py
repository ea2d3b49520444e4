"""`Registry` against registries that lie: what they say is believed nowhere.

How it gets on with an honest one is in tests/e2e.
"""

import json
from urllib.parse import quote

import pytest
from safegene_client import Registry
from support.models import tiny_model
from support.scripted_server import Reply, file_reply, json_reply, problem_reply
from support.versions import write_version

from safegene.artifact.bundle import read_manifest, verify_directory
from safegene.artifact.digest import digest_bytes
from safegene.errors import (
    ArtifactError,
    CompatibilityError,
    DigestMismatchError,
    InvalidReferenceError,
    ManifestError,
    NotFoundError,
    RegistryError,
)

FILES = (
    *("README.md", "adapter_config.json", "adapter_model.safetensors"),
    "lineage.safetensors",
)


class StaticRegistry:
    """Serves version directories; tests change what it says."""

    def __init__(self, *directories):
        self.manifests = {}
        self.replies = {}
        for directory in directories:
            manifest = read_manifest(directory)
            self.manifests[manifest.version] = manifest
            base = f"/v1/vectors/{manifest.vector}/versions/{manifest.version}"
            self.replies[base] = self.detail(manifest)
            self.replies[f"{base}/manifest"] = manifest.to_bytes()
            for name in FILES:
                data = (directory / name).read_bytes()
                self.replies[f"{base}/files/{name}"] = data
            self.replies[f"/v1/vectors/{manifest.vector}/resolve"] = self.detail(
                manifest
            )

    @staticmethod
    def detail(manifest, **changes):
        return {
            "namespace": manifest.namespace,
            "name": manifest.name,
            "version": manifest.version,
            "digest": str(manifest.digest),
            "size_bytes": manifest.size_bytes,
            "yanked": None,
            "files": [],
            "grown": "a key of a newer registry",
        } | changes

    def __call__(self, got):
        found = self.replies.get(got.path)
        if found is None:
            return problem_reply(404, "not-found", f"There is nothing at {got.path}.")
        if isinstance(found, Reply):
            return found
        if isinstance(found, bytes):
            return file_reply(got, found)
        return json_reply(found)


@pytest.fixture
def static(vector_directory):
    return StaticRegistry(vector_directory)


@pytest.fixture
def manifest(static):
    return static.manifests["1.0.0"]


@pytest.fixture
def connect(serve, tmp_path):
    def make(respond):
        server = serve(respond)
        return Registry(server.url, cache=tmp_path / "cache"), server

    return make


def files_in(root):
    return [
        path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"
    ]


BASE = "/v1/vectors/acme/guard/versions/1.0.0"


def test_pull_brings_the_version_and_then_asks_for_no_byte_of_it(connect, static):
    registry, server = connect(static)

    first = registry.pull("acme/guard@~=1.0")
    asked = len(server.requests)
    second = registry.pull("acme/guard@~=1.0")

    assert verify_directory(first.path) == first.manifest == second.manifest
    assert second.path == first.path
    assert server.paths()[asked:] == ["/v1/vectors/acme/guard/resolve"]


def test_digest_in_the_cache_needs_no_registry(connect, static, manifest):
    registry, server = connect(static)
    registry.pull("acme/guard")
    server.respond = lambda _: Reply(500)

    pulled = registry.pull(f"acme/guard@{manifest.digest}")

    assert pulled.identity == "acme/guard@1.0.0"


def test_damage_in_the_cache_heals_at_the_next_pull(connect, static):
    registry, _ = connect(static)
    path = registry.pull("acme/guard").path / "adapter_model.safetensors"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    healed = registry.pull("acme/guard")

    assert verify_directory(healed.path) == healed.manifest


def test_hotfix_fetches_only_what_changed(connect, tmp_path, base):
    """Two versions differ in one of two layers: the other one is copied locally."""
    import torch
    from support.models import random_vector

    from safegene.vectors.factors import LowRankFactors
    from safegene.vectors.peft_format import save_vector

    vector = random_vector(base)
    changed = {
        path: LowRankFactors(part.a_RI, torch.zeros_like(part.b_OR))
        if ".layers.1." in path
        else part
        for path, part in vector.factors.items()
    }
    hotfix = type(vector)(
        **{
            name: getattr(vector, name)
            for name in ("architecture", "base_model", "recipe", "sketch")
        },
        factors=changed,
    )
    name = {"namespace": "acme", "name": "guard"}
    save_vector(vector, tmp_path / "old", **name, version="1.0.0")
    save_vector(hotfix, tmp_path / "new", **name, version="1.0.1")
    static = StaticRegistry(tmp_path / "old", tmp_path / "new")
    registry, server = connect(static)
    registry.pull("acme/guard@1.0.0")
    asked = len(server.requests)

    pulled = registry.pull("acme/guard@1.0.1")

    segments = pulled.manifest.file("adapter_model.safetensors").segments
    tensors = [
        got
        for got in server.requests[asked:]
        if got.path.endswith("adapter_model.safetensors")
    ]
    last = segments[2]
    assert [got.headers.get("range") for got in tensors] == [
        f"bytes={last.offset}-{last.offset + last.size - 1}"
    ]
    assert verify_directory(pulled.path) == pulled.manifest


def test_misfit_is_refused_before_any_file_is_fetched(connect, static):
    registry, server = connect(static)

    with pytest.raises(CompatibilityError, match="gpt_neox"):
        registry.pull("acme/guard", model=tiny_model("gpt_neox"))

    assert not any("/files/" in path for path in server.paths())


def test_stranger_costs_only_the_lineage_sketch(connect, static):
    registry, server = connect(static)

    with pytest.raises(CompatibilityError, match="do not descend"):
        registry.pull("acme/guard", model=tiny_model(seed=9))

    fetched = [path for path in server.paths() if "/files/" in path]
    assert fetched == [f"{BASE}/files/lineage.safetensors"]


def test_misfit_is_refused_from_the_cache_as_well(connect, static, manifest):
    registry, _ = connect(static)
    registry.pull("acme/guard")

    for ref in ("acme/guard", f"acme/guard@{manifest.digest}"):
        with pytest.raises(CompatibilityError):
            registry.pull(ref, model=tiny_model(seed=9))


def test_config_alone_may_pull(connect, static, base):
    registry, _ = connect(static)

    assert registry.pull("acme/guard", model=base.config.to_dict()).digest


def test_manifest_of_another_digest_is_refused(connect, static, manifest):
    static.replies[f"{BASE}/manifest"] = manifest.to_bytes() + b" "
    registry, _ = connect(static)

    with pytest.raises(DigestMismatchError, match="manifest of acme/guard@1"):
        registry.pull("acme/guard")

    assert files_in(registry.settings.cache) == []


def test_manifest_of_another_vector_cannot_be_replayed(connect, static, tmp_path):
    """A genuine manifest, with its genuine digest, under a name it was not made for."""
    other = write_version(tmp_path / "other", vector="evil/guard")
    static.replies["/v1/vectors/acme/guard/resolve"] = static.detail(
        other, namespace="acme"
    )
    static.replies[f"{BASE}/manifest"] = other.to_bytes()
    registry, _ = connect(static)

    with pytest.raises(RegistryError, match=r"evil/guard@1\.0\.0 for acme/"):
        registry.pull("acme/guard")

    assert files_in(registry.settings.cache) == []


@pytest.mark.parametrize(
    "name", ["../../escaped", "/tmp/escaped", "..", "a/b", "a\\b", ".bashrc"]
)
def test_path_that_leads_elsewhere_is_refused_and_not_written(
    connect, static, manifest, name, tmp_path
):
    value = manifest.model_dump(mode="json")
    value["files"][0]["path"] = name
    data = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    static.replies["/v1/vectors/acme/guard/resolve"] = static.detail(
        manifest, digest=str(digest_bytes(data))
    )
    static.replies[f"{BASE}/manifest"] = data
    static.replies[f"{BASE}/files/{quote(name)}"] = b"evil"
    registry, server = connect(static)

    with pytest.raises(ManifestError) as caught:
        registry.pull("acme/guard")

    assert caught.value.pointer.startswith("/files/0/path")
    assert files_in(tmp_path) == []
    assert not any("/files/" in path for path in server.paths())


def test_addresses_in_answers_choose_no_place_on_this_machine(
    connect, static, manifest
):
    static.replies["/v1/vectors/acme/guard/resolve"] = static.detail(
        manifest,
        files=[
            {
                "path": "../../../escaped",
                "digest": f"sha256:{'0' * 64}",
                "size_bytes": 1,
                "url": "file:///etc/passwd",
            }
        ],
    )
    registry, _ = connect(static)

    pulled = registry.pull("acme/guard")

    assert sorted(path.name for path in pulled.path.iterdir()) == sorted(
        [*FILES, "safegene.json"]
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"namespace": "evil"},
        {"name": "other"},
        {"version": "2.0.0"},
        {"version": "not a version"},
        {"digest": "md5:0"},
    ],
    ids=lambda changes: "=".join(*changes.items()),
)
def test_answer_to_another_question_is_refused(connect, static, manifest, changes):
    static.replies["/v1/vectors/acme/guard/resolve"] = static.detail(
        manifest, **changes
    )
    registry, server = connect(static)

    with pytest.raises(RegistryError, match=r"was asked for acme/guard@~=1\.0"):
        registry.resolve("acme/guard@~=1.0")

    assert len(server.requests) == 1


def test_pinned_digest_cannot_be_answered_by_another(connect, static, manifest):
    registry, _ = connect(static)

    with pytest.raises(RegistryError, match="was asked for"):
        registry.resolve(f"acme/guard@sha256:{'0' * 64}")


def test_flipped_bit_in_a_file_is_refused_and_nothing_is_visible(connect, static):
    path = f"{BASE}/files/adapter_model.safetensors"
    data = bytearray(static.replies[path])
    data[-1] ^= 1
    static.replies[path] = bytes(data)
    registry, _ = connect(static)

    with pytest.raises(DigestMismatchError, match=r"adapter_model\.safetensors"):
        registry.pull("acme/guard")

    assert not (registry.settings.cache / "vectors").exists()
    assert list((registry.settings.cache / "partial").iterdir()) == []


def test_tensor_file_that_lies_about_shapes_is_refused(connect, static, manifest):
    """Digests agree all the way; only the header disagrees with the manifest."""
    path = f"{BASE}/files/adapter_model.safetensors"
    data = static.replies[path].replace(b'"shape":[8,32]', b'"shape":[32,8]')
    assert data != static.replies[path]
    value = manifest.model_dump(mode="json")
    entry = value["files"][2]
    entry["digest"] = str(digest_bytes(data))
    header = entry["segments"][0]
    header["digest"] = str(digest_bytes(data[: header["size"]]))
    lie = type(manifest).model_validate(value)
    static.replies["/v1/vectors/acme/guard/resolve"] = static.detail(lie)
    static.replies[f"{BASE}/manifest"] = lie.to_bytes()
    static.replies[path] = data
    registry, _ = connect(static)

    with pytest.raises(ArtifactError) as caught:
        registry.pull("acme/guard")

    assert "(8, 32)" in caught.value.detail
    assert "(32, 8)" in caught.value.detail
    assert not (registry.settings.cache / "vectors").exists()


def test_unknown_version_names_what_was_asked_and_what_to_do(connect, static):
    registry, _ = connect(static)

    with pytest.raises(NotFoundError) as caught:
        registry.resolve("acme/guard@9")

    assert "asked for acme/guard@9.0.0" in caught.value.detail
    assert "safegene inspect acme/guard" in caught.value.detail
    assert caught.value.status == 404
    assert caught.value.request_id == "req-1"


def test_malformed_reference_asks_nobody(connect, static):
    registry, server = connect(static)

    for text in ("guard", "acme/../etc", "acme/guard@", "Acme/guard", "acme/guard:"):
        with pytest.raises(InvalidReferenceError):
            registry.pull(text)

    assert server.requests == []


def test_yank_is_told(connect, static, manifest, caplog):
    yank = {"at": "2026-11-24T00:00:00Z", "reason": "refuses\x1b[31m all"}
    static.replies[BASE] = static.detail(manifest, yanked=yank)
    registry, _ = connect(static)

    resolved = registry.resolve("acme/guard@1.0.0")

    assert resolved.yanked.at == "2026-11-24T00:00:00Z"
    assert "acme/guard@1.0.0 was yanked: refuses?[31m all" in caplog.text


def test_search_turns_the_pages(connect):
    summary = {
        "namespace": "acme",
        "description": "",
        "license": "MIT",
        "base_model": {"id": "a", "revision": "b"},
        "architecture": {
            "model_type": "llama",
            "layers": 2,
            "hidden_size": 32,
            "fingerprint": "sha256:0",
        },
        "rank": 8,
        "latest": {"version": "1.0.0", "digest": "sha256:0"},
        "version_count": 1,
    }

    def answer(got):
        page = int(got.query.get("cursor", "0"))
        count = min(2, int(got.query["limit"]))
        items = [summary | {"name": f"v{page}-{at}"} for at in range(count)]
        return json_reply({"items": items, "next_cursor": str(page + 1)})

    registry, server = connect(answer)

    found = registry.search("v", namespace="acme", limit=5)

    assert [item.name for item in found] == ["v0-0", "v0-1", "v1-0", "v1-1", "v2-0"]
    assert found[0].vector == "acme/v0-0"
    assert server.requests[0].query == {
        "query": "v",
        "namespace": "acme",
        "limit": "5",
    }


def test_registry_that_wants_what_the_version_lacks_gets_nothing(
    connect, vector_directory
):
    def answer(got):
        if got.method == "POST":
            blob = {
                "digest": f"sha256:{'0' * 64}",
                "size_bytes": 3,
                "state": "missing",
                "url": "/steal",
            }
            return json_reply(
                {"id": "u", "digest": "d", "state": "open", "blobs": [blob]}, 201
            )
        return Reply(204)

    registry, server = connect(answer)

    with pytest.raises(RegistryError, match="does not have"):
        registry.publish(vector_directory)

    assert [(got.method, got.path) for got in server.requests] == [
        ("POST", "/v1/uploads"),
        ("DELETE", "/v1/uploads/u"),
    ]


def test_damaged_directory_is_not_even_announced(connect, tmp_path):
    write_version(tmp_path / "version")
    (tmp_path / "version" / "README.md").write_text("changed")
    registry, server = connect(lambda _: Reply(500))

    with pytest.raises(ArtifactError, match=r"README\.md"):
        registry.publish(tmp_path / "version")

    assert server.requests == []


def test_forgotten_registry_leaves_no_connection_open(connect, static):
    registry, _ = connect(static)
    session = registry._session
    registry.resolve("acme/guard")

    del registry

    assert session._client.is_closed
