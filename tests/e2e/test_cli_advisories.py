"""What is known to be wrong with a version is told to who asks."""

import os

import pytest
from support.registry_server import make_token
from support.versions import write_version


@pytest.fixture
def guard(safegene):
    """A vector with two versions; its name."""
    name = f"advisories-{os.urandom(4).hex()}/guard"
    for seed, version in enumerate(("1.0.0", "1.1.0")):
        write_version(
            safegene.directory / version, vector=name, version=version, seed=seed
        )
        safegene.must("push", version)
    return name


@pytest.fixture
def owner(safegene, registry_server):
    """The command with a token that may say what is wrong."""
    token = make_token(registry_server.data, scope="admin")
    return safegene.having(SAFEGENE_TOKEN=token)


def test_it_is_told_at_pull_and_for_a_lock_file(safegene, owner, guard):
    (safegene.directory / "details.txt").write_text("All of it.\n")
    said = owner.must(
        *("advisory", "publish", guard, "--affected", "<1.1", "--severity", "high"),
        *("--summary", "refuses code", "--details", "details.txt"),
        *("--fixed-in", "1.1"),
    )
    lock = safegene.directory / "safegene.lock"
    digest = safegene.must("inspect", f"{guard}@1.1")["digest"]
    lock.write_text(f"{guard}@1.0\n{guard}@{digest}\n")

    pulled = safegene.run("pull", f"{guard}@1.0", "--json")
    newest = safegene.must("pull", guard)
    locked = safegene.must("advisories", "--lock", "safegene.lock")["advisories"]
    listed = safegene.run("advisories", guard).out

    assert (said["number"], said["details"]) == (1, "All of it.\n")
    warning = f"{guard}@1.0.0 has advisory 1 (high): refuses code; fixed in 1.1.0"
    assert warning in pulled.err
    assert [one["number"] for one in pulled.document["advisories"]] == [1]
    assert newest["advisories"] == []
    assert [(one["ref"], one["number"]) for one in locked] == [(f"{guard}@1.0.0", 1)]
    assert "refuses code" in listed

    owner.must("advisory", "withdraw", guard, 1, "--reason", "it was the target")
    assert safegene.run("advisories", f"{guard}@1.0").out == "no advisories\n"
    assert "withdrawn" in safegene.run("advisories", guard).out


def test_what_cannot_be_asked_or_said(safegene, guard):
    neither = safegene.run("advisories")
    both = safegene.run("advisories", guard, "--lock", "x.lock")
    missing = safegene.run("advisories", "--lock", "x.lock")
    refused = safegene.run("advisory", "withdraw", guard, 1, "--reason", "mine")

    assert (neither.code, both.code, missing.code, refused.code) == (2, 2, 2, 4)
    assert "x.lock: cannot be read" in missing.err
