"""What is said of versions follows to a mirror, and what is new as it comes."""

import queue
import threading
from collections.abc import Iterator

import pytest
from safegene_registry.access import Scope
from safegene_registry.care.following import Follower
from safegene_registry.care.fsck import examine
from safegene_registry.care.mirror import Run, mirror
from safegene_registry.care.upstream import Upstream
from safegene_registry.services import Services
from support.mirrors import VERSIONS, Source, add_version, running_one
from support.opened import opened
from support.registry_app import app_registry, bearer
from support.replicas import client_of


@pytest.fixture
def target(tmp_path, parts) -> Iterator[Services]:
    with opened(tmp_path / "target", parts) as services:
        yield services


@pytest.fixture
def own(tmp_path) -> Iterator[Source]:
    """A registry with one vector of its own, to change what is said of it."""
    with running_one(tmp_path / "own") as source:
        yield source


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
            add_version(client, tmp_path, "acme/one", "2.0.0", seed=20)
            wait_for(told, "published acme/one@2.0.0")
            add_version(client, tmp_path, "acme/new", "1.0.0", seed=21)
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
