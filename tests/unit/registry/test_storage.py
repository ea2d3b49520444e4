"""The directory blob store, by itself."""

import errno
import os
import resource
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from safegene_registry.directory_store import DirectoryBlobStore
from safegene_registry.storage import (
    BlobMissingError,
    StagedBlobMissingError,
    StorageError,
)

from safegene.artifact.digest import digest_bytes
from safegene.errors import DigestMismatchError, SizeMismatchError

DATA = b"some bytes of a blob"
DIGEST = digest_bytes(DATA)


@pytest.fixture
def store(tmp_path):
    return DirectoryBlobStore(tmp_path)


def stage(store, upload_id, data=DATA):
    writer = store.receive(upload_id, digest_bytes(data), len(data))
    writer.write(data)
    writer.finish()
    writer.abort()


def write_all(writer, data):
    try:
        writer.write(data)
        writer.finish()
    finally:
        writer.abort()


def files(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_a_blob_goes_through_staging_to_its_final_key(store, tmp_path):
    upload_id = uuid4()
    stage(store, upload_id)

    before = store.find(DIGEST)
    store.promote(upload_id, DIGEST)
    store.discard(upload_id)

    assert before is None
    assert store.find(DIGEST).size == len(DATA)
    assert files(tmp_path) == [f"blobs/sha256/{DIGEST.hex[:2]}/{DIGEST.hex}"]
    with store.open(DIGEST, start=5) as blob:
        assert blob.read(3) == DATA[5:8]
        assert blob.read(100) == DATA[8:]
        assert blob.read(100) == b""


def test_a_blob_is_staged_only_once_it_is_whole(store):
    upload_id = uuid4()
    writer = store.receive(upload_id, DIGEST, len(DATA))

    writer.write(DATA[:5])
    half = DIGEST in store.staged(upload_id)
    writer.write(DATA[5:])
    unchecked = DIGEST in store.staged(upload_id)
    writer.finish()

    assert (half, unchecked) == (False, False)
    assert DIGEST in store.staged(upload_id)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (DATA[:-1], SizeMismatchError),
        (DATA + b"!", SizeMismatchError),
        (DATA[:-1] + b"!", DigestMismatchError),
    ],
)
def test_wrong_bytes_leave_nothing(store, tmp_path, sent, error):
    writer = store.receive(uuid4(), DIGEST, len(DATA))

    with pytest.raises(error):
        write_all(writer, sent)

    assert files(tmp_path) == []


def test_promoting_twice_and_from_two_uploads_is_harmless(store, tmp_path):
    one, two = uuid4(), uuid4()
    stage(store, one)
    stage(store, two)

    for upload_id in (one, one, two):
        store.promote(upload_id, DIGEST)

    store.discard(one)
    store.discard(two)
    assert files(tmp_path) == [f"blobs/sha256/{DIGEST.hex[:2]}/{DIGEST.hex}"]


def test_sending_again_after_promotion_does_not_touch_the_final_blob(store):
    upload_id = uuid4()
    stage(store, upload_id)
    store.promote(upload_id, DIGEST)
    inode = store.final_path(DIGEST).stat().st_ino

    writer = store.receive(upload_id, DIGEST, len(DATA))
    writer.write(b"other")
    writer.abort()

    assert store.final_path(DIGEST).read_bytes() == DATA
    assert store.final_path(DIGEST).stat().st_ino == inode


def test_promoting_what_is_not_staged_is_refused(store):
    with pytest.raises(StagedBlobMissingError):
        store.promote(uuid4(), DIGEST)


def test_finishing_in_a_discarded_upload_is_refused(store, tmp_path):
    upload_id = uuid4()
    writer = store.receive(upload_id, DIGEST, len(DATA))
    writer.write(DATA)

    store.discard(upload_id)
    with pytest.raises(StagedBlobMissingError):
        writer.finish()
    writer.abort()

    assert files(tmp_path) == []


def test_a_published_blob_that_is_gone_is_a_storage_problem(store):
    with pytest.raises(StorageError, match="missing or damaged"):
        store.check(DIGEST, len(DATA))
    with pytest.raises(BlobMissingError, match="missing"), store.open(DIGEST):
        pass


def test_strays_are_removed_by_age_and_owner(store):
    owned, stray, fresh = uuid4(), uuid4(), uuid4()
    for upload_id in (owned, stray, fresh):
        stage(store, upload_id)
    for upload_id in (owned, stray):
        os.utime(store.staging_root / str(upload_id), (0, 0))

    removed = store.discard_strays({owned}, datetime.now(UTC) - timedelta(hours=1))

    assert removed == [str(stray)]
    assert not store.staged(stray)
    assert DIGEST in store.staged(owned)
    assert DIGEST in store.staged(fresh)


def test_links_that_a_promotion_never_renamed_are_strays(store, tmp_path):
    part = store.final_path(DIGEST).with_name(f"{DIGEST.hex}.{uuid4()}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA)
    before = datetime.now(UTC) - timedelta(hours=1)

    kept = store.discard_strays(set(), before)
    os.utime(part, (0, 0))
    found = store.discard_strays(set(), before, dry_run=True)
    removed = store.discard_strays(set(), before)

    assert kept == []
    assert found == removed == [part.name]
    assert files(tmp_path) == []


def test_promotion_makes_a_blob_young_and_ones_own(store):
    one, two = uuid4(), uuid4()
    for upload_id in (one, two):
        stage(store, upload_id)
        os.utime(store.staged_path(upload_id, DIGEST), (0, 0))
    before = datetime.now(UTC) - timedelta(hours=1)

    nothing = store.promoted(one)
    store.promote(one, DIGEST)
    first = (store.promoted(one), store.promoted(two), list(store.untouched(before)))
    store.promote(two, DIGEST)
    then = (store.promoted(one), store.promoted(two), list(store.untouched(before)))
    store.discard(two)

    assert nothing == []
    assert first == ([DIGEST], [], [])
    assert then == ([], [DIGEST], [])
    assert store.promoted(two) == []


def test_promoting_again_makes_an_old_blob_young(store):
    upload_id = uuid4()
    stage(store, upload_id)
    store.promote(upload_id, DIGEST)
    os.utime(store.final_path(DIGEST), (0, 0))
    before = datetime.now(UTC) - timedelta(hours=1)

    old = list(store.untouched(before))
    store.promote(upload_id, DIGEST)

    assert old == [DIGEST]
    assert list(store.untouched(before)) == []
    assert store.remove(DIGEST, before=before) is None
    assert store.find(DIGEST).size == len(DATA)


def test_a_removed_blob_is_gone_once(store, tmp_path):
    upload_id = uuid4()
    stage(store, upload_id)
    store.promote(upload_id, DIGEST)

    removed = [store.remove(DIGEST), store.remove(DIGEST)]
    store.discard(upload_id)

    assert removed == [len(DATA), None]
    assert files(tmp_path) == []


def test_only_whole_blobs_are_looked_at(store):
    upload_id = uuid4()
    stage(store, upload_id)
    store.promote(upload_id, DIGEST)
    final = store.final_path(DIGEST)
    for name in ("notes.txt", f"{DIGEST.hex}.part", DIGEST.hex.upper()):
        (final.parent / name).write_bytes(DATA)
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    assert list(store.untouched(tomorrow)) == [DIGEST]


def test_a_file_among_the_staging_areas_is_a_stray_that_goes(store):
    (store.staging_root / "odd").write_bytes(b"left by somebody")
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    found = [store.discard_strays(set(), tomorrow) for _ in range(2)]

    assert found == [["odd"], []]


def test_a_write_that_the_disk_refuses_is_a_storage_problem(store, tmp_path):
    # A limit on file sizes is a real refusal by the kernel that needs no full disk.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    data = bytes(1 << 20)
    writer = store.receive(uuid4(), digest_bytes(data), len(data))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(StorageError, match=os.strerror(errno.EFBIG)) as caught:
            writer.write(data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writer.abort()

    assert caught.value.kind.slug == "storage-unavailable"
    assert int(caught.value.headers["Retry-After"]) > 0
    assert files(tmp_path) == []


def test_a_place_that_cannot_be_written_is_a_storage_problem(tmp_path):
    (tmp_path / "staging").write_text("a file in the way")

    with pytest.raises(StorageError, match="File exists"):
        DirectoryBlobStore(tmp_path)
