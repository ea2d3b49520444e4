"""The small files of a large version come beside its largest one."""

import pytest
from support.scripted_server import Reply, problem_reply

from safegene.artifact.bundle import verify_directory
from safegene.artifact.digest import Digest
from safegene.artifact.manifest import LINEAGE_NAME, TENSORS_NAME
from safegene.errors import DigestMismatchError, NotFoundError

BASE = "/v1/vectors/acme/guard/versions/1.0.0"
SMALL, LARGEST = f"{BASE}/files/{LINEAGE_NAME}", f"{BASE}/files/{TENSORS_NAME}"


@pytest.fixture(params=[0, 1 << 40], ids=["large", "small"], autouse=True)
def _size(request, monkeypatch):
    """From which size on a version counts as large."""
    monkeypatch.setattr("safegene_client.fetching.LARGE_BYTES", request.param)


def test_all_files_come_and_progress_ends_with_all_bytes(connect, static, manifest):
    registry, server = connect(static)
    seen = []

    pulled = registry.pull("acme/guard", progress=lambda *told: seen.append(told))

    assert verify_directory(pulled.path) == manifest
    assert seen == sorted(seen)
    assert seen[-1] == (manifest.size_bytes, manifest.size_bytes)
    assert server.paths().count(LARGEST) == 1


def test_a_small_file_that_is_wrong_is_an_error(connect, static, manifest):
    entry = manifest.file(LINEAGE_NAME)
    static.replies[SMALL] = bytes(entry.size)
    registry, _ = connect(static)

    with pytest.raises(DigestMismatchError, match=LINEAGE_NAME):
        registry.pull("acme/guard")

    names = {path.name for path in registry.settings.cache.rglob("*")}
    assert Digest.parse(entry.digest).hex not in names


def test_of_two_errors_the_largest_file_s_is_told(connect, static):
    registry, server = connect(static)

    def respond(got) -> Reply:
        if got.path in (SMALL, LARGEST):
            return problem_reply(404, "not-found", f"There is no {got.path}.")
        return static(got)

    server.respond = respond

    with pytest.raises(NotFoundError, match="There is no"):
        registry.pull("acme/guard")
