"""An alias is moved by a command, and whoever follows it gets the version it means."""

import os

import pytest
from support.versions import write_version


@pytest.fixture(scope="module")
def registry_server(each_registry_server):
    """On every kind of backend."""
    return each_registry_server


@pytest.fixture
def guard(safegene):
    """A vector with two versions; its name."""
    name = f"aliases-{os.urandom(4).hex()}/guard"
    for seed, version in enumerate(("1.0.0", "1.1.0")):
        write_version(
            safegene.directory / version, vector=name, version=version, seed=seed
        )
        safegene.must("push", version)
    return name


@pytest.mark.parametrize("mark", [":", "@"])
def test_who_follows_it_gets_the_version_it_means(safegene, guard, mark):
    made = safegene.must("alias", "set", f"{guard}@1.0", "stable", "--new")
    first = safegene.must("pull", f"{guard}{mark}stable")
    safegene.must("alias", "set", f"{guard}:latest", "stable", "--expect", "1.0")
    second = safegene.must("pull", f"{guard}{mark}stable")

    assert (made["version"], made["protected"]) == ("1.0.0", False)
    assert first["identity"] == f"{guard}@1.0.0"
    assert second["identity"] == f"{guard}@1.1.0"
    assert safegene.must("inspect", f"{guard}:stable")["identity"] == f"{guard}@1.1.0"
    moves = safegene.must("alias", "history", guard, "stable")["moves"]
    assert [(one["from_version"], one["to_version"]) for one in moves] == [
        ("1.0.0", "1.1.0"),
        (None, "1.0.0"),
    ]


def test_who_is_late_is_told_where_it_points(safegene, guard):
    safegene.must("alias", "set", f"{guard}@1.0", "stable")

    late = safegene.run("alias", "set", f"{guard}@1.1", "stable", "--expect", "1.1")
    new = safegene.run("alias", "set", f"{guard}@1.1", "stable", "--new")
    gone = safegene.run("alias", "remove", guard, "stable", "--expect", "1.1")
    both = safegene.run(
        *("alias", "set", f"{guard}@1.1", "stable", "--new", "--expect", "1.0")
    )

    assert (late.code, new.code, gone.code, both.code) == (1, 1, 1, 2)
    for ended in (late, new, gone):
        assert f"stable of {guard} points at 1.0.0" in ended.err
    listed = safegene.must("alias", "list", guard)["aliases"]
    assert [(one["alias"], one["version"]) for one in listed] == [("stable", "1.0.0")]


def test_what_was_yanked_is_told_by_who_means_it(safegene, guard):
    safegene.must("alias", "set", f"{guard}@1.1", "stable")

    yanked = safegene.run("yank", f"{guard}@1.1.0", "--reason", "refuses code")
    pulled = safegene.run("pull", f"{guard}:stable")
    again = safegene.run("alias", "set", f"{guard}@1.1", "canary")
    listed = safegene.run("alias", "list", guard)

    assert yanked.code == 0
    assert f"warning: stable of {guard} pointed at it" in yanked.err
    assert pulled.code == 3
    assert "points at 1.1.0, which was yanked: refuses code" in pulled.err
    assert again.code == 1
    assert "was yanked (refuses code)" in again.err
    assert "1.1.0 (yanked)" in listed.out


def test_it_is_removed(safegene, guard):
    safegene.must("alias", "set", f"{guard}@1.1", "canary")

    ended = safegene.run("alias", "remove", guard, "canary")

    assert ended.out == f"{guard}:canary is removed\n"
    assert safegene.run("pull", f"{guard}:canary").code == 3
    assert safegene.run("alias", "list", guard).out == (
        f"{guard} has no aliases but latest\n"
    )
    assert "removed" in safegene.run("alias", "history", guard, "canary").out


def test_protecting_takes_an_owners_token(safegene, guard):
    namespace = guard.partition("/")[0]

    refused = safegene.run("alias", "protect", namespace, "stable", "--mover", "ann")
    both = safegene.run("alias", "protect", guard, "stable", "--off", "--mover", "ann")
    wrong = safegene.run("alias", "protect", "Acme", "stable")

    assert (refused.code, both.code, wrong.code) == (4, 2, 2)
    assert "scope publish; this takes one of scope admin" in refused.err


@pytest.mark.parametrize("name", ["v1", "1.x", "latest", "Stable"])
def test_a_name_that_cannot_be_an_alias_is_refused(safegene, guard, name):
    ended = safegene.run("alias", "set", f"{guard}@1.1", name)

    assert ended.code != 0
    assert repr(name) in ended.err
