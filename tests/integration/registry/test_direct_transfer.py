"""Presigned addresses of a real S3 server: what they let their holder do, and what not.

As in `test_store_qualification`, `-m slow` puts the second server to them. Those of
parts are in `test_direct_parts`.
"""

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from safegene_registry.s3.keys import final_key, staging_key
from safegene_registry.storage import StagedBlobMissingError, StagedBlobWrongError
from support.presigned import (
    LARGE,
    LARGE_DIGEST,
    PART,
    address_of,
    begin,
    bytes_of,
    elsewhere,
    parts_of,
    put,
)
from support.s3_stores import s3_store

from safegene.artifact.digest import digest_bytes

DATA = b"some bytes of a blob"
WRONG = b"others of that length"[: len(DATA)]
DIGEST = digest_bytes(DATA)
FILE = {
    "name": "adapter_model.safetensors",
    "media_type": "application/octet-stream",
    "cache_control": "private, max-age=31536000, immutable",
}


@pytest.fixture
def store(bucket):
    return s3_store(bucket)


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
    for given, digest, data in (
        (address, DIGEST, DATA),
        (address_of(direct, upload_id, multipart, part), LARGE_DIGEST, bytes_of(part)),
    ):
        mine = staging_key(upload_id, digest)
        for key in (final_key(digest), staging_key(other, digest)):
            moved = elsewhere(given.url, mine, key)
            tried.append(httpx.put(moved, content=data, headers=given.headers))
        tried += [ask(given.url) for ask in (httpx.get, httpx.delete, httpx.post)]

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
