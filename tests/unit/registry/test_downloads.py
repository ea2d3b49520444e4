"""Files and manifests over HTTP: conditions, ranges and caching.

Those of a directory. From a bucket the S3 server sends the files: what matters there of
this is in `test_s3_downloads` and `test_direct_transfer`, and at the end of this file.
"""

from contextlib import contextmanager

import pytest
from support.registry_app import app_registry
from support.versions import write_version

from safegene.artifact.manifest import TENSORS_NAME

VERSION_URL = "/v1/vectors/acme/refusal/versions/1.0.0"
FILE_URL = f"{VERSION_URL}/files/{TENSORS_NAME}"


@contextmanager
def serving(root, parts):
    manifest = write_version(root / "v")
    with app_registry(root / "data", **parts) as registry:
        registry.publish(manifest, root / "v")
        yield registry, manifest, (root / "v" / TENSORS_NAME).read_bytes()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served"), {}) as running:
        yield running


@pytest.fixture(scope="module")
def served_anywhere(tmp_path_factory, module_parts):
    """On every kind of backend."""
    with serving(tmp_path_factory.mktemp("anywhere"), module_parts) as running:
        yield running


def test_a_whole_file_is_immutable_and_named_by_its_digest(served):
    registry, manifest, data = served

    answer = registry.client.get(FILE_URL)

    assert answer.status_code == 200
    assert answer.content == data
    assert answer.headers["etag"] == f'"{manifest.file(TENSORS_NAME).digest}"'
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_head_tells_the_true_length_and_sends_nothing(served):
    registry, manifest, data = served

    answer = registry.client.head(FILE_URL, headers={"Range": "bytes=0-9"})

    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["etag"] == f'"{manifest.file(TENSORS_NAME).digest}"'


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        pytest.param("bytes=0-0", 0, 1, id="first byte"),
        pytest.param("bytes=10-19", 10, 20, id="inside"),
        pytest.param("bytes=100-", 100, None, id="open end"),
        pytest.param("bytes=-7", -7, None, id="suffix"),
        pytest.param("bytes=-999999999", 0, None, id="suffix longer than the file"),
        pytest.param("bytes=5-99999999999999999999999", 5, None, id="end far beyond"),
        pytest.param("BYTES=1-2", 1, 3, id="unit in capitals"),
    ],
)
def test_one_range_is_sent_as_asked(served, header, start, stop):
    registry, _, data = served

    answer = registry.client.get(FILE_URL, headers={"Range": header})

    expected = data[slice(start, stop)]
    first = len(data) + start if start < 0 else start
    last = first + len(expected) - 1
    assert answer.status_code == 206
    assert answer.content == expected
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(data)}"
    assert answer.headers["content-length"] == str(len(expected))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("bytes=5-4", id="backwards"),
        pytest.param("bytes=-", id="empty"),
        pytest.param("bytes=a-b", id="no numbers"),
        pytest.param("bytes=1-2,4-5", id="several"),
        pytest.param("lines=1-2", id="another unit"),
        pytest.param("bytes", id="no range"),
        pytest.param("bytes=--5", id="two signs"),
    ],
)
def test_a_range_that_means_nothing_gets_the_whole(served, header):
    registry, _, data = served

    answer = registry.client.get(FILE_URL, headers={"Range": header})

    assert answer.status_code == 200
    assert answer.content == data


@pytest.mark.parametrize(
    "header", ["bytes={size}-", "bytes=9{size}-9{size}", "bytes=-0"]
)
def test_a_range_past_the_end_is_a_problem(served, header):
    registry, _, data = served

    answer = registry.client.get(
        FILE_URL, headers={"Range": header.format(size=len(data))}
    )

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(data)}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/problems/range-not-satisfiable")


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"other", {etag}', 304),
        ("*", 304),
        ('"other"', 200),
    ],
)
def test_what_the_caller_has_is_not_sent_again(served, condition, status):
    registry, manifest, _ = served
    etag = f'"{manifest.file(TENSORS_NAME).digest}"'

    answer = registry.client.get(
        FILE_URL, headers={"If-None-Match": condition.format(etag=etag)}
    )

    assert answer.status_code == status
    assert answer.headers["etag"] == etag
    assert (answer.content == b"") == (status == 304)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("{etag}", 206),
        ("W/{etag}", 200),
        ('"other"', 200),
        ("Tue, 24 Nov 2026 00:00:00 GMT", 200),
    ],
)
def test_a_range_of_another_file_gets_the_whole(served, condition, status):
    registry, manifest, data = served
    etag = f'"{manifest.file(TENSORS_NAME).digest}"'

    answer = registry.client.get(
        FILE_URL,
        headers={"Range": "bytes=0-3", "If-Range": condition.format(etag=etag)},
    )

    assert answer.status_code == status
    assert answer.content == (data[:4] if status == 206 else data)


def test_a_file_lost_from_the_disk_is_a_problem_not_a_short_answer(tmp_path):
    manifest = write_version(tmp_path / "v")
    with app_registry(tmp_path / "data") as registry:
        registry.publish(manifest, tmp_path / "v")
        digest = manifest.file(TENSORS_NAME).digest.removeprefix("sha256:")
        blob = registry.data / "blobs" / "sha256" / digest[:2] / digest
        blob.write_bytes(blob.read_bytes()[:-1])

        answer = registry.client.get(FILE_URL)

        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["type"].endswith("/problems/storage-unavailable")


def test_every_segment_of_the_manifest_can_be_fetched_alone(served_anywhere):
    registry, manifest, data = served_anywhere

    parts = [
        registry.client.get(
            FILE_URL, headers={"Range": f"bytes={s.offset}-{s.offset + s.size - 1}"}
        ).content
        for s in manifest.file(TENSORS_NAME).segments
    ]

    assert b"".join(parts) == data


def test_the_manifest_is_served_byte_for_byte(served_anywhere):
    registry, manifest, _ = served_anywhere

    answer = registry.client.get(f"{VERSION_URL}/manifest")

    assert answer.content == manifest.to_bytes()
    assert answer.headers["content-type"] == "application/vnd.safegene.manifest+json"
    assert answer.headers["etag"] == f'"{manifest.digest}"'
    cached = registry.client.get(
        f"{VERSION_URL}/manifest", headers={"If-None-Match": answer.headers["etag"]}
    )
    assert cached.status_code == 304


@pytest.mark.parametrize(
    "path", ["nothing.txt", "safegene.json", "%2e%2e", "a%2fb", "%00"]
)
def test_an_unknown_file_is_not_found(served_anywhere, path):
    registry, _, _ = served_anywhere

    answer = registry.client.get(f"{VERSION_URL}/files/{path}")

    assert answer.status_code == 404
    assert answer.json()["type"].endswith("/problems/not-found")
