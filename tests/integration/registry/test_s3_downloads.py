"""A registry whose blobs are in a bucket: downloads, and a bucket that is gone.

As in `test_store_qualification`, `-m slow` puts the second server to them.
"""

import json
import os
import socket
import tracemalloc
from contextlib import closing

import pytest
from safegene_registry.app import create_app
from safegene_registry.s3.bucket import S3Bucket
from safegene_registry.s3.reading import ObjectReader
from safegene_registry.settings import Settings
from starlette.testclient import TestClient
from support.registry_app import app_registry
from support.s3_stores import MIB, s3_settings
from support.versions import write_version

from safegene.artifact.manifest import TENSORS_NAME

VERSION_URL = "/v1/vectors/acme/refusal/versions/1.0.0"
FILE_URL = f"{VERSION_URL}/files/{TENSORS_NAME}"


@pytest.fixture
def registry(bucket, tmp_path):
    with app_registry(tmp_path / "data", **s3_settings(bucket)) as running:
        yield running


def test_downloads_are_redirected(registry, bucket, tmp_path):
    """With the range left to the store, and nothing of it cached."""
    manifest = write_version(tmp_path / "v")
    registry.publish(manifest, tmp_path / "v")
    data = (tmp_path / "v" / TENSORS_NAME).read_bytes()

    answer = registry.client.get(FILE_URL, follow_redirects=False)
    part = registry.client.get(FILE_URL, headers={"Range": "bytes=10-19"})

    assert answer.status_code == 307
    assert answer.headers["location"].startswith(bucket.server.endpoint)
    assert answer.headers["cache-control"] == "no-store"
    assert (part.status_code, part.content) == (206, data[10:20])
    assert "authorization" not in part.request.headers


def test_what_needs_no_bytes_needs_no_store(registry, tmp_path):
    """HEAD, a known entity, a range past the end: answered by the registry itself."""
    manifest = write_version(tmp_path / "v")
    registry.publish(manifest, tmp_path / "v")
    entry = manifest.file(TENSORS_NAME)
    etag = f'"{entry.digest}"'

    head = registry.client.head(FILE_URL, follow_redirects=False)
    known = registry.client.get(FILE_URL, headers={"If-None-Match": etag})
    past = registry.client.get(FILE_URL, headers={"Range": f"bytes={entry.size}-"})

    assert head.status_code == 200
    assert head.headers["etag"] == etag
    assert int(head.headers["content-length"]) == entry.size
    assert (known.status_code, known.content) == (304, b"")
    assert past.status_code == 416
    assert past.headers["content-range"] == f"bytes */{entry.size}"
    assert past.json()["type"].endswith("/problems/range-not-satisfiable")


def test_a_registry_whose_store_is_gone_answers_and_comes_back(bucket, tmp_path):
    """It starts, says 503 where it needs the store, and serves what does not."""
    manifest = write_version(tmp_path / "v")
    data = tmp_path / "data"
    with app_registry(data, **s3_settings(bucket)) as registry:
        registry.publish(manifest, tmp_path / "v")
        token = registry.token
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
    settings = s3_settings(bucket, s3_endpoint_url=nowhere)

    with TestClient(create_app(Settings(data=data, **settings))) as client:
        found = client.get(VERSION_URL)
        head = client.head(FILE_URL)
        opened = client.post(
            "/v1/uploads",
            content=write_version(tmp_path / "w", version="2.0.0").to_bytes(),
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/vnd.safegene.manifest+json",
            },
        )
        ready = client.get("/readyz")

    assert (found.status_code, head.status_code) == (200, 200)
    assert opened.status_code == 503
    assert opened.json()["type"].endswith("/problems/storage-unavailable")
    assert int(opened.headers["retry-after"]) > 0
    assert ready.status_code == 503
    assert "store" in json.dumps(ready.json())


def test_a_large_blob_is_read_back_in_pieces(bucket, tmp_path):
    """Verification holds a piece in memory, not the blob."""
    store = S3Bucket(Settings(**s3_settings(bucket)))
    size = 40 * MIB
    store.put("large", os.urandom(size))

    tracemalloc.start()
    with closing(ObjectReader(store, "large")) as reader:
        read = sum(map(len, iter(lambda: reader.read(MIB), b"")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert read == size
    assert peak < 8 * MIB
