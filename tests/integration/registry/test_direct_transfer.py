"""Presigned addresses of a real S3 server: what they let their holder do, and what not.

As in `test_store_qualification`, `-m slow` puts the second server to them.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from safegene_registry.s3.direct import S3DirectTransfer
from safegene_registry.s3.keys import final_key, staging_key
from safegene_registry.storage import StagedBlobMissingError, StagedBlobWrongError
from support.s3_stores import MIB, s3_store

from safegene.artifact.digest import digest_bytes

DATA = b"some bytes of a blob"
WRONG = b"others of that length"[: len(DATA)]
DIGEST = digest_bytes(DATA)
PART = 5 * MIB
"""The least that S3 servers take."""

LARGE = os.urandom(2 * PART + 1000)
LARGE_DIGEST = digest_bytes(LARGE)
FILE = {
    "name": "adapter_model.safetensors",
    "media_type": "application/octet-stream",
    "cache_control": "private, max-age=31536000, immutable",
}


@pytest.fixture
def store(bucket):
    return s3_store(bucket)


@pytest.fixture
def direct(store):
    """Blobs above 5 MiB are sent in parts of 5 MiB."""
    return S3DirectTransfer(store.bucket, PART)


def put(address, data: bytes, **headers: str) -> int:
    sent = httpx.put(address.url, content=data, headers={**address.headers, **headers})
    return sent.status_code


def elsewhere(url: str, key: str, other: str) -> str:
    """The same address, for another key."""
    assert key in url
    return url.replace(key, other)


def begin(direct, upload_id):
    size = direct.part_bytes(len(LARGE))
    return direct.begin_parts(upload_id, LARGE_DIGEST, size)


def parts_of(direct, upload_id, multipart):
    return direct.parts(upload_id, LARGE_DIGEST, len(LARGE), multipart)


def bytes_of(part) -> bytes:
    return LARGE[part.offset : part.offset + part.size]


def send_missing(direct, upload_id, multipart) -> list[int]:
    """Send what is missing, as a client does; the numbers of the parts."""
    missing = [p for p in parts_of(direct, upload_id, multipart) if p.address]
    for part in missing:
        assert put(part.address, bytes_of(part)) == 200
    return [part.number for part in missing]


def test_parts_are_made_larger_instead_of_more(direct):
    """At most 500 of them, all of the size of the setting up to there."""
    sizes = [PART, PART + 1, 500 * PART, 500 * PART + 1]

    assert [direct.part_bytes(size) for size in sizes] == [None, PART, PART, PART + 1]


def test_a_blob_is_sent_to_its_staging_key(store, direct):
    """And counts as staged."""
    upload_id = uuid4()

    status = put(direct.address(upload_id, DIGEST, len(DATA)), DATA)

    assert status == 200
    assert store.staged(upload_id) == {DIGEST: len(DATA)}
    store.promote(upload_id, DIGEST)
    with store.open(DIGEST) as blob:
        assert blob.read(100) == DATA


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"!", b""])
def test_another_length_is_refused(store, direct, data):
    """The length is signed."""
    upload_id = uuid4()

    assert put(direct.address(upload_id, DIGEST, len(DATA)), data) == 403

    assert store.staged(upload_id) == {}


def test_another_checksum_is_refused(store, direct):
    """The checksum is signed: it can be neither changed nor left out."""
    upload_id = uuid4()
    address = direct.address(upload_id, DIGEST, len(DATA))
    other = {"x-amz-checksum-sha256": "A" * 43 + "="}

    left_out = httpx.put(address.url, content=DATA).status_code
    changed = put(address, WRONG, **other)

    assert (left_out, changed) == (403, 403)
    assert store.staged(upload_id) == {}


def test_other_bytes_never_get_a_final_key(store, direct):
    """Some servers refuse them at once; whatever one does, they go no further."""
    upload_id = uuid4()

    status = put(direct.address(upload_id, DIGEST, len(DATA)), WRONG)

    assert status in (200, 400)
    if status == 400:
        assert store.staged(upload_id) == {}
    with pytest.raises((StagedBlobMissingError, StagedBlobWrongError)):
        store.replace(upload_id, DIGEST)
    assert store.find(DIGEST) is None


def test_no_address_writes_anything_but_its_own_staging_key(store, direct):
    """Not the final key, nor that of another upload, nor by another method."""
    upload_id, other = uuid4(), uuid4()
    address = direct.address(upload_id, DIGEST, len(DATA))
    multipart = begin(direct, upload_id)
    part = parts_of(direct, upload_id, multipart)[0]
    tried = []
    for url, digest, data in (
        (address.url, DIGEST, DATA),
        (part.address.url, LARGE_DIGEST, bytes_of(part)),
    ):
        mine = staging_key(upload_id, digest)
        for key in (final_key(digest), staging_key(other, digest)):
            moved = elsewhere(url, mine, key)
            tried.append(httpx.put(moved, content=data, headers=address.headers))
        tried += [httpx.get(url), httpx.delete(url), httpx.post(url)]

    assert {answer.status_code for answer in tried} <= {400, 403, 405}
    assert list(store.untouched(datetime.now(UTC) + timedelta(hours=1))) == []
    assert store.staged(upload_id) == store.staged(other) == {}


def test_writing_the_staging_key_later_changes_nothing_published(store, direct):
    """An address outlives the check of what was sent to it."""
    upload_id = uuid4()
    address = direct.address(upload_id, DIGEST, len(DATA))
    put(address, DATA)
    store.promote(upload_id, DIGEST)
    tag = store.find(DIGEST).tag

    put(address, WRONG)

    assert store.find(DIGEST).tag == tag
    with store.open(DIGEST) as blob:
        assert blob.read(100) == DATA


def test_an_address_expires(bucket):
    """To send to, for a part, and to download from."""
    store = s3_store(bucket, s3_presign_lifetime=timedelta(seconds=1))
    upload_id = uuid4()
    address = store.direct.address(upload_id, DIGEST, len(DATA))
    download = store.direct.download(DIGEST, **FILE)

    time.sleep(2.1)

    assert put(address, DATA) == 403
    assert httpx.get(download).status_code == 403


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
    """Only what is missing has an address."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    second = parts_of(direct, upload_id, multipart)[1]

    put(second.address, bytes_of(second))
    left = send_missing(direct, upload_id, multipart)

    assert left == [1, 3]
    assert all(p.address is None for p in parts_of(direct, upload_id, multipart))


def test_a_part_of_another_length_is_refused(direct):
    """The length of each is signed."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    last = parts_of(direct, upload_id, multipart)[-1]

    statuses = [put(last.address, bytes_of(last)[:-1]), put(last.address, bytes(1001))]

    assert statuses == [403, 403]
    assert parts_of(direct, upload_id, multipart)[-1].address is not None


def test_a_part_sent_again_replaces_the_first(store, direct):
    """A sender that has not heard the answer sends it again."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    first = parts_of(direct, upload_id, multipart)[0]

    put(first.address, bytes(first.size))
    time.sleep(1.1)  # servers tell times in whole seconds
    put(first.address, bytes_of(first))
    send_missing(direct, upload_id, multipart)
    direct.assemble(upload_id, LARGE_DIGEST, len(LARGE), multipart)

    store.replace(upload_id, LARGE_DIGEST)  # hashes what is staged
    assert store.find(LARGE_DIGEST).size == len(LARGE)


def test_addresses_of_parts_are_dead_once_they_are_one_blob(store, direct):
    """Nothing can be added to what was assembled."""
    upload_id = uuid4()
    multipart = begin(direct, upload_id)
    first = parts_of(direct, upload_id, multipart)[0]
    send_missing(direct, upload_id, multipart)
    direct.assemble(upload_id, LARGE_DIGEST, len(LARGE), multipart)

    status = put(first.address, bytes(first.size))

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
    put(first.address, bytes_of(first))

    if end == "aborted":
        direct.abort_parts(upload_id, LARGE_DIGEST, multipart)
        direct.abort_parts(upload_id, LARGE_DIGEST, multipart)
    else:
        store.discard(upload_id)

    for act in (direct.parts, direct.assemble):
        with pytest.raises(StagedBlobMissingError):
            act(upload_id, LARGE_DIGEST, len(LARGE), multipart)
    assert put(first.address, bytes_of(first)) in (403, 404)
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


@pytest.fixture
def published(store):
    """The address of a final blob."""
    upload_id = uuid4()
    writer = store.receive(upload_id, LARGE_DIGEST, len(LARGE))
    writer.write(LARGE)
    writer.finish()
    store.promote(upload_id, LARGE_DIGEST)
    return store.direct.download(LARGE_DIGEST, **FILE)


def test_a_download_says_what_it_is(published):
    """Type, name and caching are the registry's words, not the server's."""
    answer = httpx.get(published)

    assert answer.status_code == 200
    assert answer.content == LARGE
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="adapter_model.safetensors"'
    )
    assert answer.headers["cache-control"] == FILE["cache_control"]
    assert int(answer.headers["content-length"]) == len(LARGE)


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=5-9", 5, 10), (f"bytes={PART}-", PART, None), ("bytes=-7", -7, None)],
)
def test_a_range_of_a_download_is_sent_as_asked(published, asked, start, stop):
    """An interrupted download goes on where it stopped."""
    answer = httpx.get(published, headers={"Range": asked})

    assert answer.status_code == 206
    assert answer.content == LARGE[start:stop]
    assert answer.headers["content-range"].endswith(f"/{len(LARGE)}")


def test_an_address_to_download_from_does_nothing_else(published, store):
    """Neither another blob nor another method."""
    key = final_key(LARGE_DIGEST)
    other = elsewhere(published, key, final_key(DIGEST))
    plain = published.partition("?")[0]

    tried = [
        httpx.put(published, content=b"x"),
        httpx.delete(published),
        httpx.get(other),
        httpx.get(plain),
        httpx.get(published.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000")),
    ]

    assert {answer.status_code for answer in tried} <= {400, 403, 405}
    assert store.find(LARGE_DIGEST).size == len(LARGE)


def test_clients_get_the_public_address(bucket):
    """The registry itself goes on using its own."""
    public = "https://blobs.example:8443"
    store = s3_store(bucket, s3_public_endpoint_url=public)

    addresses = [
        store.direct.address(uuid4(), DIGEST, len(DATA)).url,
        store.direct.download(DIGEST, **FILE),
    ]

    store.ping()
    for url in addresses:
        assert urlsplit(url).netloc == "blobs.example:8443"
        assert urlsplit(url).path.startswith(f"/{bucket.name}/")
