"""A policy stops an alias, and a second person lets it move; all by commands."""

import json
import os

import pytest
from support.versions import write_version

POLICY = {
    "policy": 1,
    "rules": [
        {
            "alias": "stable",
            "evaluations": [
                {"harmful_samples": 300, "harm": {"upper_end_at_most": "0.1"}}
            ],
            "approvals": 1,
        }
    ],
}
SECOND = {"policy": 1, "rules": [{"alias": "stable", "approvals": 1}]}


@pytest.fixture(scope="module")
def registry_server(each_registry_server):
    """On every kind of backend."""
    return each_registry_server


@pytest.fixture
def guard(safegene):
    """A vector with one version; its name."""
    name = f"promotion-{os.urandom(4).hex()}/guard"
    write_version(safegene.directory / "v", vector=name, version="1.0.0")
    safegene.must("push", "v")
    return name


@pytest.fixture
def owner(safegene, registry_server):
    """The command with the token of who published, which may decide."""
    return safegene.having(SAFEGENE_TOKEN=registry_server.token_of(scope="admin"))


@pytest.fixture
def second(safegene, registry_server, guard):
    """The command with the token of another member."""
    token = registry_server.token_of("second")
    member = (guard.partition("/")[0], "second", "--role", "publisher")
    registry_server.operate("member", "add", *member)
    return safegene.having(SAFEGENE_TOKEN=token)


def write(command, document):
    """A policy in a file of the command's directory; its name."""
    (command.directory / "policy.json").write_text(json.dumps(document))
    return "policy.json"


def test_a_second_person_lets_it_move(safegene, owner, second, guard):
    namespace = guard.partition("/")[0]
    file = write(safegene, SECOND)

    owner.must("policy", "set", namespace, file, "--replaces", "0")
    late = owner.run("policy", "set", namespace, file, "--replaces", "0")
    shown = safegene.run("policy", "show", namespace)
    refused = owner.run("alias", "set", f"{guard}@1.0", "stable")
    before = owner.run("policy", "check", f"{guard}@1.0", "stable")
    own = owner.run("approve", f"{guard}@1.0.0", "--alias", "stable")
    second.must("approve", f"{guard}@1.0.0", "--alias", "stable")
    after = owner.must("policy", "check", f"{guard}@1.0", "stable")
    owner.must("alias", "set", f"{guard}@1.0", "stable")

    assert late.code == 1
    assert "has policy 1; it was expected to have none" in late.err
    assert json.loads(shown.out) == SECOND
    assert (refused.code, before.code, own.code) == (1, 1, 4)
    for text in (refused.err, before.out):
        assert "1 approval by others" in text
        assert "at least 1" in text
        assert "have a member approve who may publish" in text
    assert after["allowed"] is True
    assert safegene.must("pull", f"{guard}:stable")["identity"] == f"{guard}@1.0.0"


def test_a_refusal_is_a_document_for_machines(safegene, owner, second, guard):
    namespace = guard.partition("/")[0]
    owner.must("policy", "set", namespace, write(safegene, POLICY))
    second.must("approve", f"{guard}@1.0.0", "--alias", "stable")
    second.must("approve", f"{guard}@1.0.0", "--alias", "stable", "--withdraw")

    refused = owner.run("alias", "set", f"{guard}@1.0", "stable", "--json")

    error = refused.document["error"]
    assert error["code"] == "promotion-refused"
    missed = [part["measure"] for one in error["demands"] for part in one["parts"]]
    assert missed == [
        *("harmful_samples", "harmless_samples", "harm.upper_end", "approvals")
    ]
    assert all(not one["met"] and one["advice"] for one in error["demands"])


def test_what_is_wrong_with_a_policy_is_told_before_it_is_sent(safegene, owner, guard):
    namespace = guard.partition("/")[0]
    file = write(safegene, {"policy": 1, "rules": [{"alias": "stable"}]})

    ended = owner.run("policy", "set", namespace, file)

    assert ended.code == 5
    assert "policy: /rules/0: " in ended.err
    assert "demands nothing" in ended.err
    shown = safegene.must("policy", "show", namespace)
    assert shown["number"] == 0
