"""A mirror has the same catalog and the same bytes, however often it is killed."""

import dataclasses
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from safegene_registry import membership
from safegene_registry.access import Visibility
from safegene_registry.care.collection import collect
from safegene_registry.care.fsck import examine
from safegene_registry.care.mirror import mirror
from safegene_registry.care.upstream import RemoteVersion, Upstream, UpstreamError
from safegene_registry.services import Services
from safegene_registry.storage import StorageError
from support.mirrors import (
    VECTORS,
    VERSIONS,
    Source,
    mirror_command,
    running_source,
    source_of,
    target_of,
)
from support.opened import opened
from support.registry_app import app_registry
from support.replicas import client_of
from support.scripted_server import (
    Got,
    Reply,
    file_reply,
    json_reply,
    scripted_server,
)
from support.stores import Faulty, keys_of
from support.versions import write_version

from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import CARD_NAME, FileEntry
from safegene.artifact.reference import VectorName

KILLS = 10


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Iterator[Source]:
    with running_source(tmp_path_factory.mktemp("source")) as running:
        yield running


@pytest.fixture
def target(tmp_path, parts) -> Iterator[Services]:
    with opened(tmp_path / "target", parts) as services:
        yield services


def test_a_mirror_says_and_sends_the_same(source, target, tmp_path, parts):
    """What is private is not there without a token, and nothing is done twice."""
    with Upstream(source.url, None) as upstream:
        done = mirror(target, upstream)
        again = mirror(target, upstream)

    assert sorted(done.published) == sorted(
        f"{vector}@1.{number}.0" for vector in VECTORS for number in range(VERSIONS)
    )
    assert (done.vectors, done.refused) == (3, [])
    assert done.notices == ["yanked acme/one@1.1.0"]
    assert (again.present, again.published, again.fetched_bytes) == (9, [], 0)
    assert again.notices == []
    assert examine(target).findings == []
    assert target_of(tmp_path, parts) == source_of(source)


def test_what_is_private_is_private_in_the_mirror(source, target, tmp_path, parts):
    with Upstream(source.url, source.token) as upstream:
        done = mirror(target, upstream, ["hidden/*"])

    assert (done.vectors, len(done.published)) == (1, VERSIONS)
    with app_registry(tmp_path / "target", **parts) as registry:
        assert registry.client.get("/v1/vectors/hidden/four").status_code == 404
    with target.database.reading() as session:
        found = membership.find_namespace(session, "hidden")
    assert found.visibility == Visibility.PRIVATE


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["acme/*"], {"acme/one", "acme/two"}),
        (["*/t*"], {"acme/two", "lab/three"}),
        (["lab/three"], {"lab/three"}),
        (["lab/three", "*/one"], {"lab/three", "acme/one"}),
        (["nobody/*"], set()),
    ],
)
def test_a_pattern_chooses(source, tmp_path, patterns, expected):
    with (
        opened(tmp_path / "target", {}) as services,
        Upstream(source.url, None) as upstream,
    ):
        done = mirror(services, upstream, patterns)

    assert {name.partition("@")[0] for name in done.published} == expected


def test_a_run_that_breaks_off_is_gone_on_with(source, target):
    """What an upload has received already is not fetched again."""

    class Breaking(Faulty):
        left = 6

        def receive(self, upload_id, digest, size):
            self.left -= 1
            if self.left < 0:
                raise StorageError("the disk is full")
            return self.inner.receive(upload_id, digest, size)

    broken = dataclasses.replace(target, store=Breaking(target.store))
    with Upstream(source.url, None) as upstream:
        with pytest.raises(StorageError):
            mirror(broken, upstream)
        half = mirror(target, upstream)
    with Upstream(source.url, None) as upstream, opened_again(target) as whole:
        once = mirror(whole, upstream)

    # Six files had come; the second version was begun.
    assert 0 < half.fetched_bytes < once.fetched_bytes
    assert half.present == 1
    assert examine(target).findings == []


@contextmanager
def opened_again(target: Services) -> Iterator[Services]:
    """An empty registry beside the target."""
    with opened(target.settings.data.with_name("whole"), {}) as services:
        yield services


def test_yanks_that_are_taken_back_are_taken_back(source, target):
    with Upstream(source.url, None) as upstream:
        mirror(target, upstream, ["acme/one"])
        with client_of(source.url, source.token) as client:
            yank = "/v1/vectors/acme/one/versions/1.1.0/yank"
            assert client.delete(yank).status_code == 200
            try:
                done = mirror(target, upstream, ["acme/one"])
            finally:
                client.put(yank, json={"reason": "Too weak"})

    assert (done.present, done.notices) == (3, ["unyanked acme/one@1.1.0"])


def test_another_version_of_that_name_is_refused_and_the_rest_taken(
    source, target, tmp_path, parts
):
    with app_registry(tmp_path / "target", **parts) as registry:
        manifest = write_version(tmp_path / "v", vector="acme/one", seed=99)
        assert registry.publish(manifest, tmp_path / "v").status_code == 201

    with Upstream(source.url, None) as upstream:
        done = mirror(target, upstream, ["acme/*"])

    (refused,) = done.refused
    assert refused.startswith(
        f"acme/one@1.0.0: it is here as {manifest.digest}, there "
    )
    assert len(done.published) == 5


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Reply(200, b"<html>"), "expected the answers of a registry"),
        (json_reply({"items": [{}], "next_cursor": None}), "expected the answers"),
        (json_reply([]), "expected the answers of a registry"),
        (Reply(404), "answered 404"),
        (Reply(200, b"0" * (17 << 20)), "too large"),
    ],
)
def test_what_is_no_registry_is_told(target, answer, expected):
    def serve(got: Got) -> Reply:
        assert got.path.startswith("/v1/vectors")
        return answer

    with (
        scripted_server(serve) as server,
        Upstream(server.url, None) as upstream,
        pytest.raises(UpstreamError, match=expected),
    ):
        mirror(target, upstream)


def test_a_file_that_breaks_off_goes_on_where_it_stopped():
    """Also where the server does not know ranges."""
    data = random.Random(1).randbytes(1 << 16)
    entry = FileEntry(path=CARD_NAME, size=len(data), digest=str(digest_bytes(data)))
    digest = str(digest_bytes(b"manifest"))
    version = RemoteVersion(VectorName("acme", "one"), "1.0.0", digest, None, None)
    cuts = [20_000, 10_000, None]

    def serve(got: Got) -> Reply:
        assert got.path == "/v1/vectors/acme/one/versions/1.0.0/files/README.md"
        cut = cuts.pop(0)
        return file_reply(got, data, ranges=cut is not None, cut_after=cut)

    with scripted_server(serve) as server, Upstream(server.url, None) as upstream:
        assert b"".join(upstream.file(version, entry)) == data

    asked = [got.headers.get("range") for got in server.requests]
    assert asked == [None, "bytes=20000-", "bytes=30000-"]


def test_a_file_that_is_never_whole_is_given_up(source):
    """Not for ever, and not in silence."""
    entry = FileEntry(path=CARD_NAME, size=1 << 30, digest=str(digest_bytes(b"")))
    vector = VectorName("acme", "one")
    version = RemoteVersion(vector, "9.0.0", str(digest_bytes(b"")), None, None)

    with (
        Upstream(source.url, None) as upstream,
        pytest.raises(UpstreamError, match=r"files/README.md answered 404"),
    ):
        list(upstream.file(version, entry))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_mirror_that_is_killed_ten_times_is_the_same(source, target, tmp_path, parts):
    """SIGKILL, each time at another moment, ten times in a row."""
    draw = random.Random(5)
    for _ in range(KILLS):
        with mirror_command(source, tmp_path / "target", parts) as process:
            for _ in range(draw.randint(1, 5)):
                assert process.stderr.readline(), "it had nothing left to do"
            process.kill()
        assert process.returncode == -9

    with mirror_command(source, tmp_path / "target", parts, "--json") as process:
        out, err = process.communicate(timeout=300)

    assert process.returncode == 0, err
    done = json.loads(out)
    assert done["present"] + len(done["published"]) == VERSIONS * len(VECTORS)
    collect(target, grace=timedelta(0))
    assert examine(target).findings == []
    assert target_of(tmp_path, parts) == source_of(source)
    with httpx.Client(base_url=source.url, trust_env=False) as client:
        named = {
            file["digest"].removeprefix("sha256:")
            for vector in VECTORS
            for number in range(VERSIONS)
            for file in client.get(
                f"/v1/vectors/{vector}/versions/1.{number}.0"
            ).json()["files"]
        }
    assert {key.name for key in keys_of(target.store, "blobs/")} == named
