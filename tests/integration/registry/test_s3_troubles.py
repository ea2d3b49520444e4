"""An S3 server that is gone, shut, wrongly named or cut off in the middle of an answer.

As in `test_store_qualification`, `-m slow` puts the second server to them.
"""

import os
import socket
import threading
import time
from contextlib import closing, suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr
from safegene_registry.removals import ASK_SECONDS, TAKE_OVER
from safegene_registry.s3.client import ATTEMPTS, CONNECT_SECONDS, ObjectMissingError
from safegene_registry.s3.copying import copy_object, spans
from safegene_registry.s3.keys import final_key
from safegene_registry.s3.reading import ObjectReader
from safegene_registry.storage import StorageError
from support.cutting_proxy import cutting_proxy
from support.registry_app import app_registry
from support.s3_stores import MIB, s3_settings, s3_store
from support.versions import write_version

from safegene.artifact.digest import digest_bytes

DATA = os.urandom(300_000)
DIGEST = digest_bytes(DATA)
WRONG_SECRET = "wrong-secret-of-nobody"


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


EVERYTHING = [
    pytest.param(lambda store: store.ping(), id="ping"),
    pytest.param(lambda store: store.find(DIGEST), id="find"),
    pytest.param(lambda store: store.open(DIGEST).__enter__(), id="open"),
    pytest.param(lambda store: store.staged(uuid4()), id="staged"),
    pytest.param(lambda store: store.promote(uuid4(), DIGEST), id="promote"),
    pytest.param(lambda store: store.replace(uuid4(), DIGEST), id="replace"),
    pytest.param(lambda store: store.remove(DIGEST), id="remove"),
    pytest.param(lambda store: store.discard_strays([], None), id="sweep"),
    pytest.param(
        lambda store: store.direct.begin_parts(uuid4(), DIGEST, MIB), id="begin parts"
    ),
]


@pytest.mark.parametrize("act", EVERYTHING)
def test_a_server_that_is_gone_is_a_storage_problem(bucket, act):
    """Soon, whatever was asked, and with a time to wait that a client does wait."""
    store = s3_store(bucket, s3_endpoint_url=f"http://127.0.0.1:{closed_port()}")
    begun = time.monotonic()

    with pytest.raises(StorageError, match="cannot be reached") as caught:
        act(store)

    assert time.monotonic() - begun < 20
    assert caught.value.kind.slug == "storage-unavailable"
    assert 0 < int(caught.value.headers["Retry-After"]) <= 30


@pytest.fixture
def silent_server():
    """Takes connections and what comes along them, and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


SILENCE = timedelta(seconds=1)
LONGEST = 60.0
"""Three tries of a second each where nothing is copied, and all the rest on a machine
that has other things to do; by default boto3 would wait for three minutes."""


def test_a_server_that_is_silent_is_a_problem_after_the_time_that_is_set(
    module_s3_bucket, silent_server, tmp_path
):
    """Whoever asked gets 503, and what needs no server goes on meanwhile."""
    settings = s3_settings(
        module_s3_bucket, s3_endpoint_url=silent_server, s3_timeout=SILENCE
    )
    manifest = write_version(tmp_path / "v")
    with app_registry(tmp_path / "data", **settings) as registry:
        begun = time.monotonic()

        answer = registry.open_upload(manifest.to_bytes())

        waited = time.monotonic() - begun
        listed = registry.client.get("/v1/vectors")
    assert answer.status_code == 503
    assert answer.json()["type"].endswith("/problems/storage-unavailable")
    assert 0 < int(answer.headers["Retry-After"]) <= 30
    assert ATTEMPTS * SILENCE.total_seconds() <= waited < LONGEST
    assert listed.status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("act", EVERYTHING)
def test_whatever_is_asked_of_a_silent_server_ends(
    module_s3_bucket, silent_server, act
):
    """In time, though nothing ever comes; what copies may take three times as long."""
    store = s3_store(
        module_s3_bucket, s3_endpoint_url=silent_server, s3_timeout=SILENCE
    )
    begun = time.monotonic()

    with pytest.raises(StorageError, match="cannot be reached"):
        act(store)

    assert time.monotonic() - begun < LONGEST


def test_a_removal_waits_no_longer_than_another_process_does(bucket):
    """Which takes it over then; see `removals`."""
    store = s3_store(bucket, s3_timeout=timedelta(minutes=5))

    longest = CONNECT_SECONDS + store.bucket.once.meta.config.read_timeout

    assert ASK_SECONDS + longest < TAKE_OVER.total_seconds()
    assert store.bucket.client.meta.config.read_timeout == 300
    assert store.bucket.patient.meta.config.read_timeout == 900


def test_nothing_is_removed_late(bucket):
    """Another process may have taken the removal over, and a version come since."""
    store = s3_store(bucket)
    store.bucket.put(final_key(DIGEST), DATA)

    with pytest.raises(StorageError, match="too slow"):
        store.remove(DIGEST, deadline=time.monotonic() - 1)
    left = store.find(DIGEST)
    removed = store.remove(DIGEST, deadline=time.monotonic() + 60)

    assert left is not None
    assert removed == len(DATA)


def test_a_removal_is_tried_once(bucket):
    """What is tried again may arrive when nobody reckons with it any more."""
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        port = deaf.getsockname()[1]
        store = s3_store(bucket, s3_endpoint_url=f"http://127.0.0.1:{port}")
        calls = []

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = deaf.accept()
                    calls.append(connection)
                    connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(StorageError):
            store.bucket.delete_once("k")

    assert len(calls) == 1


def test_addresses_are_signed_without_asking_the_server(bucket):
    """A download of a cached page must not wait for it."""
    store = s3_store(bucket, s3_endpoint_url=f"http://127.0.0.1:{closed_port()}")

    assert store.direct.address(uuid4(), DIGEST, 1).url.startswith("http://127.")
    assert store.direct.download(
        DIGEST, name="x", media_type="text/plain", cache_control="private"
    )


def test_discarding_waits_for_no_server(bucket):
    """What stays is swept later; the request that discards has better things to say."""
    store = s3_store(bucket, s3_endpoint_url=f"http://127.0.0.1:{closed_port()}")

    store.discard(uuid4())


@pytest.mark.parametrize("act", EVERYTHING)
def test_a_server_that_refuses_us_is_a_storage_problem(bucket, act):
    """The reason is told, the secret is not."""
    store = s3_store(bucket, s3_secret_access_key=SecretStr(WRONG_SECRET))

    with pytest.raises(StorageError) as caught:
        act(store)

    assert "refuses" in caught.value.detail
    assert WRONG_SECRET not in caught.value.detail
    assert int(caught.value.headers["Retry-After"]) > 0


def test_a_bucket_that_is_not_there_is_a_storage_problem(bucket):
    """And not an empty one."""
    store = s3_store(bucket, s3_bucket="no-such-bucket-of-ours")

    with pytest.raises(StorageError, match="bucket"):
        store.ping()
    with pytest.raises(StorageError, match="NoSuchBucket"):
        store.staged(uuid4())


def read_all(reader) -> bytes:
    return b"".join(iter(lambda: reader.read(MIB), b""))


def read_blob(store) -> bytes:
    with store.open(DIGEST) as blob:
        return read_all(blob)


def published(bucket) -> None:
    store, upload_id = s3_store(bucket), uuid4()
    writer = store.receive(upload_id, DIGEST, len(DATA))
    writer.write(DATA)
    writer.finish()
    store.promote(upload_id, DIGEST)


def test_a_read_goes_on_when_the_connection_breaks(bucket):
    """From the byte where it broke, once for each cut."""
    published(bucket)
    with cutting_proxy(bucket.server.endpoint, cuts=2, after=100_000) as proxy:
        store = s3_store(bucket, s3_endpoint_url=proxy.url)

        with store.open(DIGEST, start=10) as blob:
            data = b"".join(iter(lambda: blob.read(30_000), b""))

    assert proxy.cut == 2
    assert data == DATA[10:]


def test_a_read_that_keeps_breaking_is_a_storage_problem(bucket):
    """It is not taken for the end of the blob."""
    published(bucket)
    with cutting_proxy(bucket.server.endpoint, cuts=1000, after=5000) as proxy:
        store = s3_store(bucket, s3_endpoint_url=proxy.url)

        with pytest.raises(StorageError, match="cannot be reached"):
            read_blob(store)


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_read_does_not_go_on_in_another_object(bucket, change):
    """One that has come under the same key since the connection broke."""
    large = os.urandom(4 * MIB)  # more than the connection holds
    bucket.client.put_object(Bucket=bucket.name, Key="k", Body=large)
    with cutting_proxy(bucket.server.endpoint, cuts=1, after=MIB) as proxy:
        store = s3_store(bucket, s3_endpoint_url=proxy.url)
        with closing(ObjectReader(store.bucket, "k")) as reader:
            reader.read(1000)
            if change == "replaced":
                bucket.client.put_object(Bucket=bucket.name, Key="k", Body=large[::-1])
            else:
                bucket.client.delete_object(Bucket=bucket.name, Key="k")

            with pytest.raises(StorageError, match="replaced or removed"):
                read_all(reader)


@pytest.mark.parametrize("part_bytes", [None, 5 * MIB])
def test_a_copy_has_the_bytes_and_its_own_metadata(bucket, part_bytes):
    """In one request or in parts, the last of them short."""
    store = s3_store(bucket).bucket
    data = os.urandom(11 * MIB + 3)
    bucket.client.put_object(Bucket=bucket.name, Key="from", Body=data)

    written = copy_object(
        store, "from", "to", {"of": "x"}, only_new=False, part_bytes=part_bytes
    )

    assert written
    assert store.head("to").metadata == {"of": "x"}
    with closing(ObjectReader(store, "to")) as reader:
        assert read_all(reader) == data
    assert list(store.multiparts("")) == []


@pytest.mark.parametrize("part_bytes", [None, 5 * MIB])
def test_a_copy_of_nothing_leaves_nothing(bucket, part_bytes):
    """No object, no multipart upload."""
    store = s3_store(bucket).bucket

    with pytest.raises(ObjectMissingError):
        copy_object(store, "no", "to", {}, only_new=True, part_bytes=part_bytes)

    assert list(store.list("")) == []
    assert list(store.multiparts("")) == []


@pytest.mark.parametrize("part_bytes", [None, 5 * MIB])
def test_a_copy_only_where_nothing_is_leaves_what_is_there(bucket, part_bytes):
    """Where the server can do that; the store asks it, and knows of the one in CI."""
    store = s3_store(bucket)
    bucket.client.put_object(Bucket=bucket.name, Key="from", Body=b"new")
    bucket.client.put_object(Bucket=bucket.name, Key="to", Body=b"old")
    can = store.copies_only_new()

    written = copy_object(
        store.bucket, "from", "to", {}, only_new=True, part_bytes=part_bytes
    )

    assert written != can
    with closing(ObjectReader(store.bucket, "to")) as reader:
        assert reader.read(10) == (b"old" if can else b"new")
    assert {found.key for found in store.bucket.list("")} == {"from", "to"}
    assert list(store.bucket.multiparts("")) == []


@pytest.mark.parametrize(
    ("size", "part", "lengths"),
    [(0, 5, []), (1, 5, [1]), (5, 5, [5]), (6, 5, [5, 1]), (15, 5, [5, 5, 5])],
)
def test_parts_tile_an_object(size, part, lengths):
    """No byte twice, none left out."""
    found = spans(size, part)

    assert [len(span) for span in found] == lengths
    assert [byte for span in found for byte in span] == list(range(size))
