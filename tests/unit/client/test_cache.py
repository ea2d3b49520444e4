"""The cache: nothing unproved is visible, and damage heals."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from safegene_client.cache import Cache

from safegene.artifact.bundle import read_manifest, verify_directory
from safegene.artifact.digest import Digest, digest_bytes
from safegene.errors import ArtifactError, LocalStorageError

DATA = b"some bytes"
DIGEST = digest_bytes(DATA)


def write(data):
    return lambda partial: partial.write_bytes(data)


def files_in(root):
    """Everything that is not a lock, for nothing half-written may be left."""
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def filled(cache, vector_directory):
    """A cache that holds every blob of acme/guard 1.0.0."""
    for entry in read_manifest(vector_directory).files:
        data = (vector_directory / entry.path).read_bytes()
        cache.add_blob(Digest.parse(entry.digest), entry.size, write(data))
    return cache


def test_blob_lies_under_its_digest_and_cannot_be_written_by_accident(cache):
    path = cache.add_blob(DIGEST, len(DATA), write(DATA))

    assert path == cache.root / "blobs" / "sha256" / DIGEST.hex[:2] / DIGEST.hex
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert cache.blob(DIGEST, len(DATA)) == path


def test_blob_that_is_here_is_not_fetched_again(cache):
    cache.add_blob(DIGEST, len(DATA), write(DATA))

    def fail(_):
        raise AssertionError("fetched again")

    assert cache.add_blob(DIGEST, len(DATA), fail).read_bytes() == DATA


def test_damaged_blob_is_dropped_on_reading(cache):
    path = cache.add_blob(DIGEST, len(DATA), write(DATA))
    path.chmod(0o644)
    path.write_bytes(b"same bytes")

    assert cache.blob(DIGEST, len(DATA)) is None
    assert not path.exists()


def test_failed_fetch_makes_nothing_visible(cache):
    def fail(partial):
        raise ArtifactError("other bytes came")

    with pytest.raises(ArtifactError):
        cache.add_blob(DIGEST, len(DATA), fail)

    assert cache.blob(DIGEST, len(DATA)) is None
    assert files_in(cache.root) == []


def test_version_is_a_directory_of_links_to_its_blobs(filled, vector_directory):
    manifest = read_manifest(vector_directory)

    path = filled.add_version(manifest)

    home = filled.root / "vectors" / "acme" / "guard"
    assert path == home / manifest.digest.hex
    assert verify_directory(path) == manifest
    tensors = manifest.file("adapter_model.safetensors")
    blob = filled.blob(Digest.parse(tensors.digest), tensors.size)
    assert (path / tensors.path).samefile(blob)
    assert filled.version(manifest.vector, manifest.digest) == path
    assert filled.add_version(manifest) == path


def test_unknown_version_is_not_here(cache, vector_directory):
    manifest = read_manifest(vector_directory)

    assert cache.version(manifest.vector, manifest.digest) is None
    assert not cache.root.exists()


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "safegene.json"])
def test_damaged_version_is_dropped_together_with_its_blobs(
    filled, vector_directory, name
):
    manifest = read_manifest(vector_directory)
    path = filled.add_version(manifest)
    damaged = path / name
    damaged.chmod(0o644)
    data = bytearray(damaged.read_bytes())
    data[-2] ^= 1
    damaged.write_bytes(data)

    assert filled.version(manifest.vector, manifest.digest) is None
    assert not path.exists()
    if name != "safegene.json":
        entry = manifest.file(name)
        assert filled.blob(Digest.parse(entry.digest), entry.size) is None


def test_stray_file_in_a_version_is_damage_too(filled, vector_directory):
    manifest = read_manifest(vector_directory)
    path = filled.add_version(manifest)
    (path / "pytorch_model.bin").write_bytes(b"pickle")

    assert filled.version(manifest.vector, manifest.digest) is None
    again = filled.add_version(manifest)
    assert not (again / "pytorch_model.bin").exists()
    assert verify_directory(again) == manifest


def test_blobs_that_do_not_agree_with_the_manifest_make_no_version(
    cache, vector_directory
):
    """Digests may be right and the whole wrong: a header that lies about shapes."""
    manifest = read_manifest(vector_directory)
    lineage = manifest.file("lineage.safetensors")
    lie = manifest.model_copy(
        update={
            "files": tuple(
                entry.model_copy(
                    update={"digest": lineage.digest, "size": lineage.size}
                )
                if entry.path == "adapter_model.safetensors"
                else entry
                for entry in manifest.files
            )
        }
    )
    for entry in lie.files:
        source = lineage.path if entry.digest == lineage.digest else entry.path
        cache.add_blob(
            Digest.parse(entry.digest),
            entry.size,
            write((vector_directory / source).read_bytes()),
        )

    with pytest.raises(ArtifactError):
        cache.add_version(lie)

    assert not (cache.root / "vectors").exists()
    assert list((cache.root / "partial").iterdir()) == []


def test_version_is_copied_where_the_file_system_cannot_link(
    filled, vector_directory, tmp_path
):
    """A second file system, where there is one, refuses hard links for real."""
    manifest = read_manifest(vector_directory)
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else tmp_path
    other = place / f"safegene-{os.getpid()}-{tmp_path.name}"
    shutil.copytree(filled.root / "blobs", other)
    shutil.rmtree(filled.root / "blobs")
    (filled.root / "blobs").symlink_to(other)
    try:
        path = filled.add_version(manifest)

        assert verify_directory(path) == manifest
        assert stat.S_IMODE((path / "README.md").stat().st_mode) == 0o444
    finally:
        shutil.rmtree(other)


def test_older_versions_are_found_latest_first(filled, vector_directory):
    manifest = read_manifest(vector_directory)
    path = filled.add_version(manifest)
    older = path.with_name("0" * 64)
    shutil.copytree(path, older)
    os.utime(older, (1, 1))
    (path.parent / "damaged").mkdir()

    found = list(filled.older_versions(manifest.vector))

    assert [place for place, _ in found] == [path, older]
    assert found[0][1] == manifest


def test_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file in the way")

    with pytest.raises(LocalStorageError, match="cache") as caught:
        Cache(tmp_path / "cache").add_blob(DIGEST, len(DATA), write(DATA))

    assert "SAFEGENE_CACHE" in caught.value.detail


def test_processes_that_want_the_same_blob_fetch_it_once(cache, tmp_path):
    """Four real processes race for one blob; a marker file counts the fetches."""
    script = f"""
import time, uuid
from pathlib import Path
from safegene.artifact.digest import Digest
from safegene_client.cache import Cache
def fetch(partial):
    (Path({str(tmp_path)!r}) / f"fetched-{{uuid.uuid4()}}").touch()
    partial.write_bytes({DATA[:4]!r})
    time.sleep(0.3)
    partial.write_bytes({DATA!r})
path = Cache(Path({str(cache.root)!r})).add_blob(
    Digest.parse({str(DIGEST)!r}), {len(DATA)}, fetch
)
assert path.read_bytes() == {DATA!r}
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
        for _ in range(4)
    ]

    errors = [process.communicate()[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4, errors
    assert len(list(tmp_path.glob("fetched-*"))) == 1
    assert cache.blob(DIGEST, len(DATA)) is not None
