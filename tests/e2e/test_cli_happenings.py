"""What has happened in a namespace is listed, followed, and sent where owners say."""

import json
import os

import pytest
from support.registry_server import make_token
from support.versions import write_version


@pytest.fixture
def namespace(safegene):
    """One with a version in it; its name."""
    name = f"happenings-{os.urandom(4).hex()}"
    write_version(safegene.directory / "1.0.0", vector=f"{name}/guard")
    safegene.must("push", "1.0.0")
    return name


@pytest.fixture
def owner(safegene, registry_server):
    """The command with a token that sees everything."""
    token = make_token(registry_server.data, scope="admin")
    return safegene.having(SAFEGENE_TOKEN=token)


def test_what_has_happened_is_listed(safegene, owner, namespace):
    told = safegene.must("events", namespace)
    everything = owner.must("events", namespace)
    text = owner.run("events", namespace).out

    (event,) = told["events"]
    assert (event["kind"], event["actor"]) == ("version.published", None)
    assert (event["vector"], event["version"]) == ("guard", "1.0.0")
    assert [each["position"] for each in everything["events"]] == [1, 2]
    assert everything["events"][0]["kind"] == "namespace.created"
    assert told["last"] == everything["last"] == 2
    assert f"{namespace}/guard@1.0.0" in text
    assert safegene.run("events", namespace, "--after", 2).out == "nothing behind 2\n"


def test_what_happens_is_followed_line_by_line(safegene, owner, namespace):
    process = safegene.start("events", namespace, "--follow", "--json")
    try:
        assert json.loads(process.stdout.readline())["kind"] == "version.published"
        owner.must("yank", f"{namespace}/guard@1.0.0", "--reason", "too weak")
        yanked = json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()

    assert (yanked["kind"], yanked["position"]) == ("version.yanked", 3)
    assert yanked["details"]["reason"] == "too weak"


def test_a_position_of_another_registry_is_told(safegene, namespace):
    ended = safegene.run("events", namespace, "--after", 99)

    assert ended.code == 5
    assert "restored from" in ended.err


def test_webhooks_are_added_looked_at_and_removed(safegene, owner, namespace):
    added = owner.must("webhooks", "add", namespace, "https://hooks.example.org/x")
    listed = owner.must("webhooks", "list", namespace)["webhooks"]
    letters = owner.must("webhooks", "deliveries", namespace, added["id"])
    again = owner.must("webhooks", "replay", namespace, added["id"])
    owner.must("webhooks", "remove", namespace, added["id"])

    assert added["secret"].startswith("whsec_")
    assert [(each["id"], each["url"]) for each in listed] == [
        (added["id"], "https://hooks.example.org/x")
    ]
    assert "secret" not in listed[0]
    assert (letters, again) == ({"dead_letters": []}, {"count": 0})
    assert owner.run("webhooks", "list", namespace).out == "no webhooks\n"
    refused = owner.run("webhooks", "add", namespace, "https://127.0.0.1/x")
    assert (refused.code, safegene.run("webhooks", "list", namespace).code) == (5, 4)
