"""`Registry`: what is asked for, what is fetched and what is refused.

How it gets on with a real registry is in tests/e2e.
"""

import pytest
from support.models import tiny_model
from support.scripted_server import Reply, json_reply
from support.static_registry import StaticRegistry
from support.summaries import SUMMARY
from support.versions import write_version

from safegene.artifact.bundle import verify_directory
from safegene.errors import (
    ArtifactError,
    CompatibilityError,
    InvalidReferenceError,
    NotFoundError,
    RegistryError,
)

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


def test_stranger_may_be_allowed_on_purpose_but_no_other_structure(
    connect, static, manifest
):
    registry, _ = connect(static)
    stranger = tiny_model(seed=9)

    # Fetched, then by range and by digest from the cache.
    for ref in ("acme/guard", "acme/guard", f"acme/guard@{manifest.digest}"):
        pulled = registry.pull(ref, stranger, allow_unverified_lineage=True)
        assert pulled.manifest == manifest
        with pytest.raises(CompatibilityError, match="gpt_neox"):
            registry.pull(ref, tiny_model("gpt_neox"), allow_unverified_lineage=True)


def test_no_file_is_fetched_for_another_structure_that_is_insisted_on(connect, static):
    registry, server = connect(static)

    with pytest.raises(CompatibilityError, match="gpt_neox"):
        registry.pull(
            "acme/guard", tiny_model("gpt_neox"), allow_unverified_lineage=True
        )

    assert not any("/files/" in path for path in server.paths())


def test_config_alone_may_pull(connect, static, base):
    registry, _ = connect(static)

    assert registry.pull("acme/guard", model=base.config.to_dict()).digest


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


def version_entries(*versions):
    return [{"version": version, "digest": "sha256:0"} for version in versions]


def test_all_versions_are_described_newest_first_whatever_the_pages(connect):
    pages = {
        None: version_entries("1.9.0", "1.10.0rc1"),
        "1": version_entries("not a version", "1.10.0"),
        "2": version_entries("0.9.0"),
    }

    def answer(got):
        here = got.query.get("cursor")
        following = {None: "1", "1": "2"}.get(here)
        if got.path.endswith("/versions"):
            return json_reply({"items": pages[here], "next_cursor": following})
        whole = SUMMARY | {"versions": pages[None], "next_cursor": following}
        return json_reply(whole)

    registry, server = connect(answer)

    found = registry.describe("acme/guard")

    assert [entry.version for entry in found.versions] == [
        *("1.10.0", "1.10.0rc1", "1.9.0", "0.9.0", "not a version")
    ]
    assert found.next_cursor is None
    assert [got.query.get("cursor") for got in server.requests] == [None, "1", "2"]


def test_a_list_of_versions_without_end_is_an_error(connect, monkeypatch):
    monkeypatch.setattr("safegene_client.versions.MAX_VERSIONS", 10)

    def answer(got):
        entries = {"next_cursor": "more"} | (
            {"items": version_entries("1.0.0")}
            if got.path.endswith("/versions")
            else SUMMARY | {"versions": version_entries("1.0.0")}
        )
        return json_reply(entries)

    registry, server = connect(answer)

    with pytest.raises(RegistryError, match=r"more than 10 versions of acme/guard"):
        registry.describe("acme/guard")
    assert len(server.requests) == 11


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
