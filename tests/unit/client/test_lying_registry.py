"""Registries that lie: what they say is believed nowhere."""

import json
from urllib.parse import quote

import pytest
from support.scripted_server import Reply, json_reply
from support.static_registry import StaticRegistry
from support.versions import write_version

from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import FILE_NAMES
from safegene.errors import (
    ArtifactError,
    DigestMismatchError,
    ManifestError,
    RegistryError,
)

BASE = "/v1/vectors/acme/guard/versions/1.0.0"


def test_manifest_of_another_digest_is_refused(connect, static, manifest, visible):
    static.replies[f"{BASE}/manifest"] = manifest.to_bytes() + b" "
    registry, _ = connect(static)

    with pytest.raises(DigestMismatchError, match="manifest of acme/guard@1"):
        registry.pull("acme/guard")

    assert visible(registry.settings.cache) == []


def test_manifest_of_another_vector_cannot_be_replayed(
    connect, static, tmp_path, visible
):
    """A genuine manifest, with its genuine digest, under a name it was not made for."""
    other = write_version(tmp_path / "other", vector="evil/guard")
    static.replies["/v1/vectors/acme/guard/resolve"] = static.detail(
        other, namespace="acme"
    )
    static.replies[f"{BASE}/manifest"] = other.to_bytes()
    registry, _ = connect(static)

    with pytest.raises(RegistryError, match=r"evil/guard@1\.0\.0 for acme/"):
        registry.pull("acme/guard")

    assert visible(registry.settings.cache) == []


@pytest.mark.parametrize(
    "name", ["../../escaped", "/escaped", "..", "a/b", "a\\b", ".bashrc"]
)
def test_path_that_leads_elsewhere_is_refused_and_not_written(
    connect, static, manifest, name, tmp_path, visible
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
    assert visible(tmp_path) == []
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
        [*FILE_NAMES, "safegene.json"]
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


def test_number_that_means_other_bytes_than_before_is_told(
    connect, static, manifest, tmp_path, caplog
):
    """A registry that was put back, or lies; only a digest says which bytes."""
    registry, server = connect(static)
    registry.pull("acme/guard@1.0.0")
    assert caplog.text == ""
    other = write_version(tmp_path / "other", vector="acme/guard")
    assert (other.version, other.digest == manifest.digest) == ("1.0.0", False)
    server.respond = StaticRegistry(tmp_path / "other")

    pulled = registry.pull("acme/guard@1.0.0")

    assert pulled.manifest == other
    assert f"acme/guard@1.0.0 was pulled before as {manifest.digest}" in caplog.text
    assert registry.pull(f"acme/guard@{manifest.digest}").manifest == manifest


def test_flipped_bit_in_a_file_is_refused_and_nothing_is_visible(
    connect, static, visible
):
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
