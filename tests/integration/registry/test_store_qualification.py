"""What every blob store must do, whatever holds the bytes.

The same tests on a directory, on an S3 server and, with `-m slow`, on a second and
older one. `SAFEGENE_TEST_S3_ENDPOINT` puts any other server to them (docs/registry.md).
`test_store_leftovers` goes on with what is left half done.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from safegene_registry.directory_store import DirectoryBlobStore
from safegene_registry.s3.keys import final_key, staging_key
from safegene_registry.storage import (
    BlobMissingError,
    StagedBlobMissingError,
    StagedBlobWrongError,
    StorageError,
)
from support.stores import (
    DATA,
    DIGEST,
    LARGE_BYTES,
    WRONG,
    content,
    long_ago,
    publish,
    soon,
    stage,
    write_all,
)

from safegene.artifact.digest import digest_bytes
from safegene.errors import DigestMismatchError, SizeMismatchError

RACERS = 8


def test_the_store_answers(store):
    """Nothing is raised."""
    store.ping()


def test_a_blob_goes_through_staging_to_its_final_key(store):
    """Visible under its digest only after promotion, and for other processes, too."""
    upload_id = uuid4()

    stage(store, upload_id)
    staged, before = store.staged(upload_id), store.find(DIGEST)
    store.promote(upload_id, DIGEST)
    kept = store.staged(upload_id)
    store.discard(upload_id)

    assert (staged, before) == ({DIGEST: len(DATA)}, None)
    assert kept == staged
    assert store.staged(upload_id) == {}
    assert store.find(DIGEST).size == len(DATA)
    assert content(store, DIGEST) == DATA
    assert content(store, DIGEST, start=5) == DATA[5:]
    store.check(DIGEST, len(DATA))


@pytest.mark.parametrize("size", [0, 1, LARGE_BYTES])
def test_blobs_of_all_sizes_are_kept_as_they_are(store, size):
    """Nothing, one byte, and more than fits one request of the store's own."""
    data = os.urandom(size)

    digest = publish(store, data)

    assert store.find(digest).size == size
    assert digest_bytes(content(store, digest)) == digest


def test_a_blob_is_staged_only_once_it_is_whole(store):
    """Neither half of it nor all of it unproved counts."""
    upload_id = uuid4()
    writer = store.receive(upload_id, DIGEST, len(DATA))

    writer.write(DATA[:5])
    half = store.staged(upload_id)
    writer.write(DATA[5:])
    unproved = store.staged(upload_id)
    writer.finish()
    writer.abort()

    assert (half, unproved) == ({}, {})
    assert store.staged(upload_id) == {DIGEST: len(DATA)}


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        pytest.param(DATA[:-1], SizeMismatchError, id="shorter"),
        pytest.param(DATA + b"!", SizeMismatchError, id="longer"),
        pytest.param(WRONG, DigestMismatchError, id="other"),
    ],
)
def test_wrong_bytes_are_not_staged(store, sent, error):
    """The writer refuses them; what is staged already stays."""
    upload_id = uuid4()
    kept = stage(store, upload_id, b"kept")
    writer = store.receive(upload_id, DIGEST, len(DATA))

    with pytest.raises(error):
        write_all(writer, sent)

    assert store.staged(upload_id) == {kept: 4}


def test_uploads_do_not_see_each_others_blobs(store):
    """Nor do they discard them."""
    one, two = uuid4(), uuid4()
    stage(store, one)

    with pytest.raises(StagedBlobMissingError):
        store.promote(two, DIGEST)
    store.discard(two)

    assert store.staged(two) == {}
    assert store.staged(one) == {DIGEST: len(DATA)}
    assert store.find(DIGEST) is None


def test_what_is_not_staged_can_be_neither_promoted_nor_put_in_place(store):
    """Both say so."""
    for act in (store.promote, store.replace):
        with pytest.raises(StagedBlobMissingError):
            act(uuid4(), DIGEST)


def test_an_unstaged_blob_counts_as_missing(store):
    """Also when it was never there."""
    upload_id = uuid4()
    other = stage(store, upload_id, b"other")
    stage(store, upload_id)

    store.unstage(upload_id, DIGEST)
    store.unstage(upload_id, DIGEST)

    assert store.staged(upload_id) == {other: 5}


def test_promoting_again_changes_nothing(store):
    """By the same upload, by another one, and by another process."""
    one, two = uuid4(), uuid4()
    stage(store, one)
    stage(store, two)

    for upload_id in (one, one, two):
        store.promote(upload_id, DIGEST)

    assert content(store, DIGEST) == DATA


def test_of_many_who_promote_at_once_all_succeed(place):
    """One key, one content, no error: the same blob in eight uploads at once."""
    data = os.urandom(1 << 20)
    uploads = [uuid4() for _ in range(RACERS)]
    for upload_id in uploads:
        stage(place.store, upload_id, data)
    digest = digest_bytes(data)

    with ThreadPoolExecutor(RACERS) as pool:
        stores = [place.again() for _ in uploads]
        done = [
            pool.submit(store.promote, upload_id, digest)
            for store, upload_id in zip(stores, uploads, strict=True)
        ]
        results = [each.result() for each in done]

    assert results == [None] * RACERS
    assert content(place.store, digest) == data


def test_a_right_blob_is_never_replaced_by_a_wrong_one(place):
    """A sender whom the store did not check has staged other bytes under the digest."""
    store, upload_id = place.store, uuid4()
    publish(store)
    tag = store.find(DIGEST).tag
    place.write(staging_key(upload_id, DIGEST), WRONG)

    with pytest.raises(StagedBlobWrongError):
        store.replace(upload_id, DIGEST)

    assert content(store, DIGEST) == DATA
    assert store.find(DIGEST).tag == tag


def test_promoting_wrong_bytes_over_right_ones_leaves_the_right_ones(place):
    """And is refused: who knows a digest and has not its bytes must not get them."""
    store, upload_id = place.store, uuid4()
    if isinstance(store, DirectoryBlobStore):
        # Nothing unproved ever gets a staged name in a directory.
        with pytest.raises(DigestMismatchError):
            write_all(store.receive(upload_id, DIGEST, len(DATA)), WRONG)
        return
    publish(store)
    place.write(staging_key(upload_id, DIGEST), WRONG)

    with pytest.raises(StagedBlobWrongError):
        store.promote(upload_id, DIGEST)

    assert content(store, DIGEST) == DATA


def test_a_damaged_blob_is_put_right(place):
    """From a staged copy that is proved first."""
    store, upload_id = place.store, uuid4()
    publish(store)
    place.write(final_key(DIGEST), WRONG)
    damaged = content(store, DIGEST)
    stage(store, upload_id)

    store.replace(upload_id, DIGEST)
    store.discard(upload_id)

    assert damaged == WRONG
    assert content(store, DIGEST) == DATA


def test_a_store_knows_what_an_upload_has_promoted(store):
    """Those blobs, and no others; nothing once it is discarded."""
    one, two = uuid4(), uuid4()
    mine = stage(store, one, b"mine")
    stage(store, one)
    stage(store, two)

    before = store.promoted(one)
    store.promote(one, mine)
    store.promote(two, DIGEST)
    after = store.promoted(one), store.promoted(two)
    store.discard(one)

    assert before == []
    assert after == ([mine], [DIGEST])
    assert store.promoted(one) == []


def test_blobs_are_told_apart_by_age(store):
    """What is younger than asked for is neither listed nor removed."""
    publish(store)
    other = publish(store, b"other")

    young = list(store.untouched(long_ago()))
    spared = store.remove(DIGEST, before=long_ago())
    old = set(store.untouched(soon()))

    assert (young, spared) == ([], None)
    assert old == {DIGEST, other}
    assert content(store, DIGEST) == DATA


def test_a_removed_blob_is_gone_once(store):
    """Its size is told; a second removal finds nothing."""
    publish(store)

    removed = [store.remove(DIGEST, before=soon()), store.remove(DIGEST)]

    assert removed == [len(DATA), None]
    assert store.find(DIGEST) is None
    assert list(store.untouched(soon())) == []
    assert publish(store) == DIGEST
    assert content(store, DIGEST) == DATA


def test_only_whole_blobs_are_looked_at(place):
    """Whatever else lies among them is left alone."""
    publish(place.store)
    beside = final_key(DIGEST).rpartition("/")[0]
    for name in ("notes.txt", DIGEST.hex.upper(), f"{DIGEST.hex}x", f"f{DIGEST.hex}"):
        place.write(f"{beside}/{name}", DATA)

    assert list(place.store.untouched(soon())) == [DIGEST]


def test_a_missing_blob_is_a_storage_problem(store):
    """With the digest in it, and a time to wait."""
    with pytest.raises(BlobMissingError, match=DIGEST.hex), store.open(DIGEST):
        pass
    with pytest.raises(StorageError, match="missing") as caught:
        store.check(DIGEST, len(DATA))

    assert int(caught.value.headers["Retry-After"]) > 0
    publish(store)
    with pytest.raises(StorageError, match="missing"):
        store.check(DIGEST, len(DATA) + 1)
