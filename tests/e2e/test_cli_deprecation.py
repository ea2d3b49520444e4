"""What is deprecated is pulled as before, with a warning."""

import os

import pytest
from support.versions import write_version


@pytest.fixture
def guard(safegene):
    """A vector with one version; its name."""
    name = f"deprecation-{os.urandom(4).hex()}/guard"
    write_version(safegene.directory / "v", vector=name)
    safegene.must("push", "v")
    return name


def test_who_pulls_it_is_told_what_to_use(safegene, guard):
    said = safegene.must(
        *("deprecate", f"{guard}@1.0", "--message", "too old"),
        *("--successor", f"{guard}@~=2.0"),
    )

    pulled = safegene.run("pull", guard, "--json")
    shown = safegene.must("inspect", guard)

    assert said["deprecated"]["of"] == "version"
    assert pulled.code == 0
    warning = f"{guard}@1.0.0 is deprecated: too old; use {guard}@~=2.0"
    assert warning in pulled.err
    assert pulled.document["deprecated"]["message"] == "too old"
    assert pulled.document["yanked"] is None
    assert shown["deprecated"]["successor"] == f"{guard}@~=2.0"


def test_a_whole_vector_is_and_is_not_any_more(safegene, guard):
    ended = safegene.run("deprecate", guard, "--message", "see guard2")
    told = safegene.run("pull", guard).err
    back = safegene.run("undeprecate", guard)

    assert ended.out == f"deprecated {guard}: see guard2\n"
    assert f"{guard} is deprecated: see guard2\n" in told
    assert back.out == f"{guard} is not deprecated\n"
    assert safegene.run("pull", guard).err == ""


@pytest.mark.parametrize("pick", ["@~=1.0", ":latest"])
def test_what_may_be_another_version_tomorrow_is_not(safegene, guard, pick):
    ended = safegene.run("deprecate", f"{guard}{pick}", "--message", "too old")

    assert ended.code == 2
    assert "may mean another version tomorrow" in ended.err
