"""Presigned addresses of parts of a blob: what they take, and how a transfer ends.

As in `test_store_qualification`, `-m slow` puts the second server to them.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from safegene_registry.s3.direct import S3DirectTransfer
from safegene_registry.s3.keys import staging_key
from safegene_registry.storage import StagedBlobMissingError, StagedBlobWrongError
from support.presigned import (
    LARGE,
    LARGE_DIGEST,
    PART,
    address_of,
    begin,
    bytes_of,
    parts_of,
    put,
    send_missing,
)
from support.s3_stores import s3_store

REFUSED = {400} if "SAFEGENE_TEST_S3_ENDPOINT" not in os.environ else {200, 400}
"""What other bytes get: of the server that `make test` starts, and of any other."""


@pytest.fixture
def store(bucket):
    return s3_store(bucket)


def test_parts_are_made_larger_instead_of_more(direct):
    """At most 500 of them, all of the size of the setting up to there."""
    sizes = [PART, PART + 1, 500 * PART, 500 * PART + 1]

    assert [direct.part_bytes(size) for size in sizes] == [None, PART, PART, PART + 1]


def test_large_blobs_are_sent_in_parts(store, direct):
    """Parts tile the blob; together they are staged, and final after a copy."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)

    parts = parts_of(direct, upload_id, multipart)
    early = direct.assemble(upload_id, LARGE_DIGEST, len(LARGE), multipart)
    sent = send_missing(direct, upload_id, multipart)
    before = store.staged(upload_id)
    whole = direct.assemble(upload_id, LARGE_DIGEST, len(LARGE), multipart)

    assert [(p.number, p.offset, p.size) for p in parts] == [
        (1, 0, PART),
        (2, PART, PART),
        (3, 2 * PART, 1000),
    ]
    assert (early, sent, before, whole) == (False, [1, 2, 3], {}, True)
    assert store.staged(upload_id) == {LARGE_DIGEST: len(LARGE)}
    store.promote(upload_id, LARGE_DIGEST)
    with store.open(LARGE_DIGEST, start=PART - 5) as blob:
        assert blob.read(10) == LARGE[PART - 5 : PART + 5]


def test_interrupted_parts_go_on_where_they_stopped(direct):
    """Only what is missing is sent."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    second = parts_of(direct, upload_id, multipart)[1]

    put(address_of(direct, upload_id, multipart, second), bytes_of(second))
    left = send_missing(direct, upload_id, multipart)

    assert left == [1, 3]
    assert all(p.present for p in parts_of(direct, upload_id, multipart))


def test_a_part_of_another_length_is_refused(direct):
    """The length of each is signed."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    last = parts_of(direct, upload_id, multipart)[-1]
    address = address_of(direct, upload_id, multipart, last)

    statuses = [put(address, bytes_of(last)[:-1]), put(address, bytes(1001))]

    assert statuses == [403, 403]
    assert not parts_of(direct, upload_id, multipart)[-1].present


def test_another_checksum_of_a_part_is_refused(direct):
    """It is signed: it can be neither left out nor changed to that of other bytes."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    last = parts_of(direct, upload_id, multipart)[-1]
    other = bytes(last.size)
    address = address_of(direct, upload_id, multipart, last)
    true = address_of(direct, upload_id, multipart, last, other).headers

    left_out = httpx.put(address.url, content=bytes_of(last)).status_code
    changed = put(address, other, **true)

    assert (left_out, changed) == (403, 403)
    assert not parts_of(direct, upload_id, multipart)[-1].present


def test_other_bytes_of_a_part_never_get_a_final_key(store, direct):
    """Some servers refuse them at once; whatever one does, they go no further."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    last = parts_of(direct, upload_id, multipart)[-1]

    status = put(address_of(direct, upload_id, multipart, last), bytes(last.size))

    assert status in (200, 400)
    assert parts_of(direct, upload_id, multipart)[-1].present == (status == 200)
    send_missing(direct, upload_id, multipart)
    assert direct.assemble(upload_id, LARGE_DIGEST, len(LARGE), multipart)
    if status == 400:
        store.replace(upload_id, LARGE_DIGEST)  # hashes what is staged
    else:
        with pytest.raises(StagedBlobWrongError):
            store.replace(upload_id, LARGE_DIGEST)


def test_other_bytes_of_a_part_are_refused_by_a_server_that_checks(s3_bucket):
    """Although they have the length that is signed; the right ones are still taken."""
    direct = S3DirectTransfer(s3_store(s3_bucket).bucket, PART)
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    last = parts_of(direct, upload_id, multipart)[-1]
    address = address_of(direct, upload_id, multipart, last)

    status = put(address, bytes(last.size))
    kept = parts_of(direct, upload_id, multipart)[-1].present

    assert status in REFUSED
    assert kept == (status == 200)
    assert put(address, bytes_of(last)) == 200


def test_a_part_sent_again_replaces_the_first(store, direct):
    """A sender whose file has changed meanwhile sends it again."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    first = parts_of(direct, upload_id, multipart)[0]
    wrong = bytes(first.size)

    put(address_of(direct, upload_id, multipart, first, wrong), wrong)
    time.sleep(1.1)  # servers tell times in whole seconds
    put(address_of(direct, upload_id, multipart, first), bytes_of(first))
    send_missing(direct, upload_id, multipart)
    direct.assemble(upload_id, LARGE_DIGEST, len(LARGE), multipart)

    store.replace(upload_id, LARGE_DIGEST)  # hashes what is staged
    assert store.find(LARGE_DIGEST).size == len(LARGE)


def test_addresses_of_parts_are_dead_once_they_are_one_blob(store, direct):
    """Nothing can be added to what was assembled."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    first = parts_of(direct, upload_id, multipart)[0]
    wrong = bytes(first.size)
    late = address_of(direct, upload_id, multipart, first, wrong)
    send_missing(direct, upload_id, multipart)
    direct.assemble(upload_id, LARGE_DIGEST, len(LARGE), multipart)

    status = put(late, wrong)

    assert status in (403, 404)
    store.replace(upload_id, LARGE_DIGEST)


def test_assembling_at_once_succeeds_everywhere(store, direct):
    """Two connections complete one upload, or the answer to the first was lost."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    send_missing(direct, upload_id, multipart)

    def assemble(_: int) -> str:
        try:
            direct.assemble(upload_id, LARGE_DIGEST, len(LARGE), multipart)
        except StagedBlobMissingError:
            # It came late enough to find the transfer ended: looking anew tells.
            assert LARGE_DIGEST in store.staged(upload_id)
        return "done"

    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(assemble, range(4)))

    assert ended == ["done"] * 4
    assert store.staged(upload_id) == {LARGE_DIGEST: len(LARGE)}


@pytest.mark.parametrize("end", ["aborted", "discarded"])
def test_an_ended_transfer_is_known_no_more(store, direct, end):
    """Its parts are gone, and it is no stray."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    first = parts_of(direct, upload_id, multipart)[0]
    address = address_of(direct, upload_id, multipart, first)
    put(address, bytes_of(first))

    if end == "aborted":
        direct.abort_parts(upload_id, LARGE_DIGEST, multipart)
        direct.abort_parts(upload_id, LARGE_DIGEST, multipart)
    else:
        store.discard(upload_id)

    for act in (direct.parts, direct.assemble):
        with pytest.raises(StagedBlobMissingError):
            act(upload_id, LARGE_DIGEST, len(LARGE), multipart)
    assert put(address, bytes_of(first)) in (403, 404)
    assert list(store.bucket.multiparts("")) == []


def test_stale_transfers_are_aborted_by_the_sweep(store, direct):
    """By owner and age, as everything that is staged."""
    owned, stray = uuid4(), uuid4()
    for upload_id in (owned, stray):
        begin(direct, upload_id)
    now = datetime.now(UTC)

    young = store.discard_strays({owned}, now - timedelta(hours=1))
    told = store.discard_strays({owned}, now + timedelta(hours=1), dry_run=True)
    done = store.discard_strays({owned}, now + timedelta(hours=1))

    assert young == []
    assert told == done == [str(stray)]
    left = [multipart.key for multipart in store.bucket.multiparts("")]
    assert left == [staging_key(owned, LARGE_DIGEST)]
