"""A mirror has the same catalog and the same bytes, however often it is killed."""

import dataclasses
import json
import os
import queue
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from safegene_registry import membership
from safegene_registry.access import Scope, Visibility
from safegene_registry.care.collection import collect
from safegene_registry.care.following import Follower
from safegene_registry.care.fsck import examine
from safegene_registry.care.mirror import Run, mirror
from safegene_registry.care.upstream import RemoteVersion, Upstream, UpstreamError
from safegene_registry.server import prepare_data
from safegene_registry.services import Services, open_services
from safegene_registry.settings import Settings
from safegene_registry.storage import StorageError
from safegene_registry.tokens import user_account
from support.backends import Parts, environment_of
from support.registry_app import app_registry, bearer
from support.registry_server import make_token, running_registry
from support.replicas import Publisher, client_of
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

VECTORS = ("acme/one", "acme/two", "lab/three")
VERSIONS = 3
"""Of each; the second of the first is yanked."""

KILLS = 10


@dataclasses.dataclass
class Source:
    """The registry that is mirrored."""

    url: str
    token: str
    """Of a member of the private namespace, too."""


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Iterator[Source]:
    place = tmp_path_factory.mktemp("source")
    with running_registry(place) as running:
        with (
            opened(running.data, {}) as services,
            services.database.writing() as session,
        ):
            owner = user_account(session, "tests", operator=False, by="tests")
            membership.create_namespace(
                session,
                "hidden",
                owner=owner,
                visibility=Visibility.PRIVATE,
                quota_bytes=None,
                by="tests",
            )
        with client_of(running.url, running.token) as client:
            for at, vector in enumerate((*VECTORS, "hidden/four")):
                for number in range(VERSIONS):
                    add(client, place, vector, f"1.{number}.0", seed=10 * at + number)
            yanked = client.put(
                "/v1/vectors/acme/one/versions/1.1.0/yank", json={"reason": "Too weak"}
            )
            assert yanked.status_code == 200
        yield Source(running.url, make_token(running.data, scope="admin"))


def add(client, place: Path, vector: str, version: str, *, seed: int) -> None:
    """Publish a version."""
    at = place / f"{vector.replace('/', '-')}-{version}"
    manifest = write_version(at, vector=vector, version=version, seed=seed)
    assert Publisher(client, manifest, at).publish().status_code == 201


@contextmanager
def opened(data: Path, parts: Parts) -> Iterator[Services]:
    settings = Settings(data=data, **parts)
    prepare_data(settings).dispose()
    services = open_services(settings)
    try:
        yield services
    finally:
        services.database.dispose()


@pytest.fixture
def target(tmp_path, parts) -> Iterator[Services]:
    with opened(tmp_path / "target", parts) as services:
        yield services


def told(client, vectors=VECTORS) -> dict[str, bytes]:
    """All that a registry says and sends of some vectors."""
    answers = {}
    for vector in vectors:
        url = f"/v1/vectors/{vector}"
        paths = [url, f"{url}/versions", f"{url}/resolve"]
        for number in range(VERSIONS):
            version = f"{url}/versions/1.{number}.0"
            paths += [version, f"{version}/manifest"]
            answer = client.get(version)
            assert answer.status_code == 200, answer.text
            paths += [file["url"] for file in answer.json()["files"]]
        for path in paths:
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            answers[path] = answer.content
    return answers


def source_of(source: Source, vectors=VECTORS) -> dict[str, bytes]:
    with client_of(source.url, source.token) as client:
        return told(client, vectors)


def target_of(tmp_path, parts, vectors=VECTORS) -> dict[str, bytes]:
    with app_registry(tmp_path / "target", **parts) as registry:
        return told(registry.client, vectors)


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


@pytest.fixture
def own(tmp_path, source) -> Iterator[Source]:
    """A registry with one vector of its own, to change what is said of it."""
    (tmp_path / "own").mkdir()
    with running_registry(tmp_path / "own") as running:
        token = make_token(running.data, scope="admin")
        with client_of(running.url, token) as client:
            for number in range(VERSIONS):
                add(client, tmp_path, "acme/one", f"1.{number}.0", seed=number)
        yield Source(running.url, token)


ONE = "/v1/vectors/acme/one"
ADVISORY = {
    "severity": "high",
    "affected": "<1.2",
    "summary": "It helps with locks.",
    "details": "Found by us.",
    "fixed_in": "1.2.0",
}


def said(client, **options) -> dict:
    """What is said of the vector, but for who has said it."""
    paths = (ONE, f"{ONE}/versions", f"{ONE}/aliases", f"{ONE}/advisories")
    found = {path: client.get(path, **options).json() for path in paths}
    for alias in found[f"{ONE}/aliases"]["items"]:
        del alias["protected"]
    return found


def test_what_is_said_of_versions_follows(own, target, tmp_path, parts):
    """Aliases, deprecations, advisories: as they are there, and no longer than that."""
    with client_of(own.url, own.token) as client, Upstream(own.url, None) as upstream:
        changes = [
            client.put(f"{ONE}/aliases/stable", json={"version": "1.1.0"}),
            client.put(f"{ONE}/aliases/old", json={"version": "1.0.0"}),
            client.put(
                f"{ONE}/versions/1.0.0/deprecation",
                json={"message": "Old", "successor": "acme/one@~=1.1"},
            ),
            client.put(f"{ONE}/deprecation", json={"message": "All of it"}),
            client.post(f"{ONE}/advisories", json=ADVISORY),
        ]
        assert [answer.status_code for answer in changes] == [200, 200, 200, 200, 201]
        first = mirror(target, upstream)
        there = said(client)
        again = mirror(target, upstream)
        with app_registry(tmp_path / "target", **parts) as registry:
            here = said(registry.client)
        taken_back = [
            client.put(f"{ONE}/aliases/stable", json={"version": "1.2.0"}),
            client.delete(f"{ONE}/aliases/old"),
            client.delete(f"{ONE}/versions/1.0.0/deprecation"),
            client.delete(f"{ONE}/deprecation"),
            client.put(f"{ONE}/advisories/1/withdrawal", json={"reason": "Wrong"}),
        ]
        assert all(answer.is_success for answer in taken_back), taken_back
        last = mirror(target, upstream)
        there_then = said(client)
    with app_registry(tmp_path / "target", **parts) as registry:
        here_then = said(registry.client)

    assert len(first.notices) == len(last.notices) == 5
    assert again.notices == []
    assert here == there
    assert here[ONE]["deprecated"]["message"] == "All of it"
    # When it was withdrawn there is not told: here it was a moment later.
    for found in (here_then, there_then):
        withdrawn = found[f"{ONE}/advisories"]["items"][0].pop("withdrawn")
        assert withdrawn["reason"] == "Wrong"
    assert here_then == there_then
    assert examine(target).findings == []


def test_what_was_decided_here_stands(own, target, tmp_path, parts):
    """A mirror undoes no yank but its own, and moves no alias that somebody moved."""
    with client_of(own.url, own.token) as client, Upstream(own.url, None) as upstream:
        client.put(f"{ONE}/aliases/stable", json={"version": "1.1.0"})
        mirror(target, upstream)
        with app_registry(tmp_path / "target", **parts) as registry:
            token = registry.token_of("chief", Scope.ADMIN, operator=True)
            headers = bearer(token)
            decided = [
                registry.client.put(
                    f"{ONE}/versions/1.2.0/yank",
                    json={"reason": "Not here"},
                    headers=headers,
                ),
                registry.client.put(
                    f"{ONE}/aliases/stable", json={"version": "1.0.0"}, headers=headers
                ),
                registry.client.put(
                    f"{ONE}/deprecation", json={"message": "Ours"}, headers=headers
                ),
            ]
            assert [answer.status_code for answer in decided] == [200] * 3
            before = said(registry.client)
        client.put(f"{ONE}/aliases/stable", json={"version": "1.2.0"})
        client.put(f"{ONE}/deprecation", json={"message": "Theirs"})
        done = mirror(target, upstream)
    with app_registry(tmp_path / "target", **parts) as registry:
        after = said(registry.client)

    assert (done.notices, done.refused) == ([], [])
    assert after == before


def test_what_is_new_follows_as_it_comes(own, target, tmp_path):
    """A version, another vector, a yank."""
    stopped, told = threading.Event(), queue.Queue()
    with client_of(own.url, own.token) as client, Upstream(own.url, None) as upstream:
        follower = Follower(Run(target, upstream, told.put), ())
        follower.look()
        thread = threading.Thread(target=follower.go_on, args=(0.05, stopped))
        thread.start()
        try:
            wait_for(told, "published acme/one@1.2.0")
            add(client, tmp_path, "acme/one", "2.0.0", seed=20)
            wait_for(told, "published acme/one@2.0.0")
            add(client, tmp_path, "acme/new", "1.0.0", seed=21)
            wait_for(told, "published acme/new@1.0.0")
            client.put(f"{ONE}/versions/2.0.0/yank", json={"reason": "No"})
            wait_for(told, "yanked acme/one@2.0.0")
        finally:
            stopped.set()
            thread.join()

    assert follower.run.done.refused == []
    assert len(follower.run.done.published) == VERSIONS + 2
    assert examine(target).findings == []


def wait_for(told, sentence):
    """Until the mirror says so."""
    while told.get(timeout=180) != sentence:
        pass


def test_a_registry_that_was_restored_is_looked_at_anew(own, target):
    """Its chains are shorter than what is known of them."""
    with Upstream(own.url, None) as upstream:
        follower = Follower(Run(target, upstream, lambda _: None), ())
        follower.look()
        (position,) = follower.positions.values()
        follower.positions["acme"] = position + 1000

        follower.look()

    assert follower.positions == {"acme": position}
    assert follower.run.done.present == VERSIONS


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


def command(source: Source, data: Path, parts: Parts, *options) -> subprocess.Popen:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "safegene_registry", "mirror", source.url),
            *("--data", data, *options),
        ],
        env={**os.environ, **environment_of(parts)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_mirror_that_is_killed_ten_times_is_the_same(source, target, tmp_path, parts):
    """SIGKILL, each time at another moment, ten times in a row."""
    draw = random.Random(5)
    for _ in range(KILLS):
        with command(source, tmp_path / "target", parts) as process:
            for _ in range(draw.randint(1, 5)):
                assert process.stderr.readline(), "it had nothing left to do"
            process.kill()
        assert process.returncode == -9

    with command(source, tmp_path / "target", parts, "--json") as process:
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
