"""What is not here is fetched from another registry when somebody asks, and kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta

import pytest
from safegene_client import Registry
from safegene_registry import membership
from safegene_registry.access import Visibility
from safegene_registry.care.collection import collect
from safegene_registry.care.fsck import examine
from safegene_registry.tokens import user_account
from support.attestations import enveloped
from support.backends import environment_of
from support.mirrors import running_source
from support.registry_app import app_registry, bearer
from support.registry_server import running_registry, stop
from support.scripted_server import Reply, problem_reply, scripted_server
from support.static_registry import StaticRegistry
from support.versions import write_version
from support.waiting import wait_until

from safegene.artifact.attestation.keys import PrivateKey
from safegene.artifact.digest import digest_bytes
from safegene.errors import NotFoundError

VECTOR = "/v1/vectors/acme/refusal"
VERSION = f"{VECTOR}/versions/1.0.0"
FILE = f"{VERSION}/files/adapter_model.safetensors"
SAID = f"{VERSION}/attestations"
ASKERS = 8
KEY = PrivateKey.generate()


@pytest.fixture
def there(tmp_path):
    """What the upstream registry says, which tests may change: acme/refusal 1.0.0."""
    write_version(tmp_path / "there")
    return StaticRegistry(tmp_path / "there")


@contextmanager
def between(place, parts, url, **settings):
    """A registry that asks the one at `url` for what it does not have."""
    chosen = {
        "upstream_url": url,
        "upstream_namespaces": ("acme", "lab"),
        "upstream_timeout": timedelta(seconds=60),
        **settings,
    }
    with app_registry(place / "here", **parts, **chosen) as registry:
        yield registry


@contextmanager
def both(place, parts, respond, **settings):
    """The same with a server before it."""
    with (
        scripted_server(respond) as server,
        between(place, parts, server.url, **settings) as registry,
    ):
        yield registry, server


def is_empty(registry):
    """Whether nothing at all was kept, whoever looks."""
    collect(registry.services, grace=timedelta(0))
    assert examine(registry.services).findings == []
    return registry.final_blobs() == registry.staged_files() == []


def slug(answer):
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


@pytest.mark.parametrize(
    "way", ["version", "file", "manifest", "digest", "head", "attestations"]
)
def test_what_is_asked_for_by_name_is_fetched_and_kept(tmp_path, parts, there, way):
    manifest = there.manifests["1.0.0"]
    method, path = {
        "version": ("GET", VERSION),
        "file": ("GET", FILE),
        "manifest": ("GET", f"{VECTOR}/versions/1.0/manifest"),
        "digest": ("GET", f"{VECTOR}/resolve?digest={manifest.digest}"),
        "head": ("HEAD", FILE),
        "attestations": ("GET", SAID),
    }[way]
    with both(tmp_path, parts, there) as (registry, server):
        first = registry.client.request(method, path)
        assert first.status_code == 200, first.text
        asked = len(server.requests)
        again = registry.client.request(method, path)
        assert again.content == first.content
        for entry in manifest.files:
            file = registry.client.get(f"{VERSION}/files/{entry.path}")
            data = there.replies[f"{VERSION}/files/{entry.path}"]
            assert (file.status_code, file.content) == (200, data)
        assert registry.client.get(f"{VERSION}/manifest").content == manifest.to_bytes()
        assert len(server.requests) == asked
        assert "authorization" not in server.requests[0].headers
        assert examine(registry.services).findings == []


def test_what_is_there_neither_is_not_found_and_not_asked_for_again(
    tmp_path, parts, there
):
    with both(tmp_path, parts, there) as (registry, server):
        for _ in range(3):
            answer = registry.client.get(f"{VECTOR}/versions/2.0.0")
            assert slug(answer) == (404, "not-found")

        assert server.paths() == [f"{VECTOR}/versions/2.0.0"]
        assert is_empty(registry)


def test_what_may_mean_another_version_tomorrow_is_not_fetched(tmp_path, there):
    with both(tmp_path, {}, there) as (registry, server):
        for path in ("resolve", "resolve?constraint=~%3D1.0", "versions", ""):
            assert registry.client.get(f"{VECTOR}/{path}".rstrip("/")).is_client_error
        assert registry.client.get("/v1/vectors").json()["items"] == []

        assert server.requests == []


def test_of_many_who_ask_at_once_one_fetches(tmp_path, parts, there):
    with both(tmp_path, parts, there) as (registry, server):
        with ThreadPoolExecutor(ASKERS) as pool:
            answers = list(pool.map(registry.client.get, [FILE] * ASKERS))

        assert {answer.status_code for answer in answers} == {200}
        assert {answer.content for answer in answers} == {there.replies[FILE]}
        assert sorted(server.paths()) == sorted(set(server.paths()))


def test_yanks_come_along(tmp_path, parts, there):
    yank = {"at": "2026-11-24T00:00:00+00:00", "reason": "too weak"}
    there.replies[VERSION]["yanked"] = yank
    with both(tmp_path, parts, there) as (registry, _):
        found = registry.client.get(VERSION).json()

        assert found["yanked"]["reason"] == "too weak"
        assert registry.client.get(f"{VECTOR}/resolve").status_code == 404


def said_of(manifest):
    """An envelope, its name, and a list that has it and one that is not to be had."""
    data = enveloped(KEY, None, manifest.digest)
    names = [str(digest_bytes(data)), f"sha256:{'0' * 64}"]
    items = [{"digest": name, "posted_at": "2020-01-02T12:00:00Z"} for name in names]
    return data, names[0], {"items": items, "next_cursor": None}


def test_what_is_said_comes_along(tmp_path, parts, there):
    """As far as it can be had, by its key, and not with another version."""
    data, name, page = said_of(there.manifests["1.0.0"])
    there.replies |= {SAID: page, f"{SAID}/{name}": data}
    with both(tmp_path, parts, there) as (registry, _):
        asked = registry.client.get(f"{SAID}/{name}")
        (said,) = registry.client.get(SAID).json()["items"]

        assert (asked.status_code, asked.content) == (200, data)
        assert (said["digest"], said["account"]) == (name, "mirror")
        assert (said["key_id"], said["trusted"]) == (str(KEY.public.key_id), False)
        assert said["posted_at"] == "2020-01-02T12:00:00Z"
        assert examine(registry.services).findings == []


@pytest.mark.parametrize(
    "answer", [problem_reply(500, "internal", "It broke."), {"items": [{}]}]
)
def test_a_version_comes_though_what_is_said_does_not(tmp_path, parts, there, answer):
    there.replies[SAID] = answer
    with both(tmp_path, parts, there) as (registry, _):
        assert registry.client.get(VERSION).status_code == 200
        assert registry.client.get(SAID).json()["items"] == []


@pytest.mark.parametrize("lie", ["file", "manifest", "digest", "words", "gone"])
def test_what_is_not_as_promised_is_refused_and_nothing_kept(
    tmp_path, parts, there, lie
):
    data = bytearray(there.replies[FILE])
    data[-1] ^= 1
    path, value = {
        "file": (FILE, bytes(data)),
        "manifest": (f"{VERSION}/manifest", b"{}"),
        "digest": (VERSION, {**there.replies[VERSION], "digest": f"sha256:{'0' * 64}"}),
        "words": (VERSION, {"hello": "world"}),
        "gone": (FILE, problem_reply(404, "not-found", "There is nothing.")),
    }[lie]
    right, there.replies[path] = there.replies[path], value
    with both(tmp_path, parts, there) as (registry, _):
        answer = registry.client.get(VERSION)

        assert slug(answer) == (502, "upstream-invalid")
        assert "acme/refusal@1.0.0 is not here" in answer.json()["detail"]
        assert is_empty(registry)
        there.replies[path] = right
        assert registry.client.get(VERSION).status_code == 200


def test_another_digest_than_was_asked_for_is_refused(tmp_path, there):
    with both(tmp_path, {}, there) as (registry, _):
        answer = registry.client.get(f"{VECTOR}/resolve?digest=sha256:{'0' * 64}")

        assert slug(answer) == (502, "upstream-invalid")
        assert is_empty(registry)


@pytest.mark.parametrize("trouble", ["down", "busy", "cut"])
def test_one_that_does_not_answer_is_told_as_passing(tmp_path, parts, there, trouble):
    right = there.replies[FILE]
    busy = problem_reply(503, "storage-unavailable", "Full.")
    if trouble == "busy":
        there.replies[VERSION] = busy
    if trouble == "cut":
        there.replies[FILE] = Reply(200, right, cut_after=10)
    with both(tmp_path, parts, there) as (registry, server):
        if trouble == "down":
            server.stop()
        answer = registry.client.get(FILE)

        assert slug(answer) == (504, "upstream-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert registry.client.get("/v1/vectors").json()["items"] == []


def test_who_waits_too_long_is_told_and_comes_again(tmp_path, parts, there):
    go_on = threading.Event()

    def slow(got):
        if got.path == FILE:
            assert go_on.wait(300)
        return there(got)

    with both(tmp_path, parts, slow) as (registry, _):
        through = registry.app.state.pull_through
        through.seconds = 0.5
        answer = registry.client.get(FILE)

        assert slug(answer) == (504, "upstream-unavailable")
        assert registry.client.get("/v1/vectors").json()["items"] == []
        go_on.set()
        wait_until(lambda: registry.client.get(FILE).status_code == 200)


@pytest.mark.parametrize("visibility", list(Visibility))
def test_a_namespace_that_is_somebodys_here_is_not_asked_for(
    tmp_path, parts, there, visibility
):
    """The names of what is private stay here, and nothing is put beside it."""
    with both(tmp_path, parts, there) as (registry, server):
        with registry.services.database.writing() as session:
            owner = user_account(session, "ann", operator=False, by="tests")
            membership.create_namespace(
                session,
                "acme",
                owner=owner,
                visibility=visibility,
                quota_bytes=None,
                by="tests",
            )
        for headers in ({}, bearer(registry.token_of("ann"))):
            answer = registry.client.get(VERSION, headers=headers)
            assert answer.status_code == 404

        assert server.requests == []


def test_a_namespace_that_is_not_listed_is_not_asked_for(tmp_path, parts, there):
    with both(tmp_path, parts, there, upstream_namespaces=("lab",)) as both_of_them:
        registry, server = both_of_them
        assert registry.client.get(VERSION).status_code == 404
        assert server.requests == []


def test_what_was_purged_here_does_not_come_back(tmp_path, parts, there):
    with both(tmp_path, parts, there) as (registry, server):
        digest = registry.client.get(VERSION).json()["digest"]
        operator = registry.token_of("ops", "admin", operator=True)
        purged = registry.client.post(
            f"{VERSION}/purge",
            json={"reason": "by law", "digest": digest},
            headers=bearer(operator),
        )
        assert purged.status_code == 200, purged.text
        asked = len(server.requests)

        assert slug(registry.client.get(VERSION)) == (410, "version-purged")
        assert len(server.requests) == asked


@pytest.mark.slow
def test_a_client_pulls_through_two_real_registries(tmp_path, new_backend):
    """What was pulled stays when the other is gone; what is private is not told."""
    places = [tmp_path / name for name in ("source", "between")]
    for place in places:
        place.mkdir()
    with new_backend() as parts, ExitStack() as stack:
        source = stack.enter_context(running_source(places[0]))
        environment = {
            **environment_of(parts),
            "SAFEGENE_REGISTRY_UPSTREAM_URL": source.url,
            "SAFEGENE_REGISTRY_UPSTREAM_NAMESPACES": "acme, hidden",
            "SAFEGENE_REGISTRY_UPSTREAM_TIMEOUT": "PT2M",
        }
        with running_registry(places[1], environment=environment) as registry:
            pulled = pull(registry.url, "acme/two@1.2.0", tmp_path / "first")
            assert pulled == pull(source.url, "acme/two@1.2.0", tmp_path / "other")
            for name in ("hidden/four@1.0.0", "lab/three@1.0.0", "acme/two@9.0"):
                with pytest.raises(NotFoundError):
                    pull(registry.url, name, tmp_path / "first")
            stack.close()
            assert pull(registry.url, "acme/two@1.2.0", tmp_path / "new") == pulled
            assert stop(registry.process) == 0
        assert "Traceback" not in registry.log.read_text(encoding="utf-8")


def pull(url, ref, cache):
    """The manifest of what a client has pulled, and verified."""
    with closing(Registry(url, cache=cache, timeout=120)) as registry:
        return registry.pull(ref).manifest
