"""Every change says so in the chain of its namespace, in the order of the commits."""

import json
import threading
from datetime import UTC, datetime
from uuid import UUID

import pytest
from safegene_registry import membership
from safegene_registry.events.chain import Link
from safegene_registry.events.event_repository import list_events
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from support.registry_app import bearer
from support.versions import write_version

from safegene.artifact.digest import digest_bytes

ACME = "/v1/namespaces/acme"


def chain(registry, namespace="acme"):
    with registry.services.database.reading() as session:
        return list_events(session, namespace, after=0, limit=1000)


def said(registry, namespace="acme"):
    """Kind and details of every event."""
    return [(row.kind, json.loads(row.details)) for row in chain(registry, namespace)]


@pytest.fixture
def owner(registry):
    """Headers of the owner of the public namespace `acme`."""
    headers = bearer(registry.token_of("ann", "admin"))
    for name in ("acme", "other"):
        answer = registry.client.post(
            "/v1/namespaces", json={"name": name}, headers=headers
        )
        assert answer.status_code == 201, answer.text
    return headers


def publish(registry, place, **facts):
    manifest = write_version(place, **facts)
    answer = registry.publish(manifest, place)
    assert answer.status_code == 201, answer.text
    return manifest


def test_the_first_version_makes_the_namespace_and_says_both(registry, tmp_path):
    manifest = publish(registry, tmp_path / "v")

    first, second = chain(registry)

    assert [first.kind, second.kind] == ["namespace.created", "version.published"]
    assert [first.position, second.position] == [1, 2]
    assert (second.vector, second.version) == ("refusal", "1.0.0")
    assert json.loads(second.details) == {"digest": str(manifest.digest)}
    assert second.actor == first.actor == json.loads(first.details)["owner"]


def test_the_same_again_says_nothing(registry, tmp_path):
    manifest = publish(registry, tmp_path / "v")
    before = said(registry)

    assert registry.publish(manifest, tmp_path / "v").status_code == 200

    assert said(registry) == before


def test_yanking_and_taking_it_back_is_said_once_each(registry, tmp_path):
    digest = str(publish(registry, tmp_path / "v").digest)
    path = "/v1/vectors/acme/refusal/versions/1.0/yank"

    for _ in range(2):
        registry.client.put(path, json={"reason": "bad"}, headers=registry.auth)
    for _ in range(2):
        registry.client.delete(path, headers=registry.auth)

    assert said(registry)[2:] == [
        ("version.yanked", {"digest": digest, "reason": "bad"}),
        ("version.unyanked", {"digest": digest}),
    ]
    assert {row.version for row in chain(registry)[1:]} == {"1.0.0"}


def test_what_owners_change_is_said_with_what_was_before(registry, owner):
    registry.token_of("bob")
    member = f"{ACME}/members/bob"

    def call(method, path, **options):
        answer = registry.client.request(method, path, headers=owner, **options)
        assert answer.is_success, answer.text

    for visibility in ("private", "private", "public"):
        call("PATCH", ACME, json={"visibility": visibility})
    for role in ("reader", "owner", "owner"):
        call("PUT", member, json={"role": role})
    call("DELETE", member)
    with registry.services.database.writing() as session:
        membership.set_quota(session, "acme", 2**62, by="command line")
        membership.set_quota(session, "acme", 7, by="command line")

    assert said(registry)[1:] == [
        ("namespace.visibility-changed", {"visibility": "private", "before": "public"}),
        ("namespace.visibility-changed", {"visibility": "public", "before": "private"}),
        ("member.set", {"account": "bob", "role": "reader", "before": None}),
        ("member.set", {"account": "bob", "role": "owner", "before": "reader"}),
        ("member.removed", {"account": "bob", "before": "owner"}),
        ("namespace.quota-changed", {"quota_bytes": str(2**62), "before": None}),
        ("namespace.quota-changed", {"quota_bytes": 7, "before": str(2**62)}),
    ]
    rows = chain(registry)
    assert {row.actor for row in rows[:-2]} == {"ann"}
    assert {row.actor for row in rows[-2:]} == {"command line"}
    assert [row.token_id is None for row in rows] == [False] * 6 + [True] * 2


def test_tokens_of_the_namespace_are_said_and_others_are_not(registry, owner):
    wanted = {"name": "ci", "scope": "read"}
    for namespace in ("acme", None):
        answer = registry.client.post(
            "/v1/tokens", json={**wanted, "namespace": namespace}, headers=owner
        )
        token = answer.json()["id"]
        for _ in range(2):
            registry.client.delete(f"/v1/tokens/{token}", headers=owner)

    made, ended = said(registry)[1:]

    assert [made[0], ended[0]] == ["token.created", "token.revoked"]
    assert made[1]["token_id"] == ended[1]["token_id"]
    assert "sgt_" not in json.dumps(said(registry))


def test_what_is_rolled_back_was_never_said(registry, owner):
    del owner
    before = said(registry)

    def fail():
        with registry.services.database.writing() as session:
            record(session, "acme", Kind.QUOTA_CHANGED, by="tests")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert said(registry) == before


def test_each_digest_covers_the_event_and_the_one_before(registry, tmp_path):
    for number in range(3):
        publish(registry, tmp_path / f"v{number}", version=f"1.{number}.0")

    rows = chain(registry)

    assert [row.position for row in rows] == [1, 2, 3, 4]
    assert [row.previous for row in rows] == [None, *(row.digest for row in rows[:-1])]
    for row in rows:
        document = {
            "namespace": "acme",
            "position": row.position,
            "kind": row.kind,
            "at": row.at.isoformat(timespec="microseconds"),
            "actor": row.actor,
            "token_id": str(row.token_id),
            "vector": row.vector,
            "version": row.version,
            "details": json.loads(row.details),
            "previous": row.previous,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        assert row.digest == str(digest_bytes(text.encode()))


def test_what_happens_at_once_stands_in_one_chain_without_a_gap(registry, owner):
    del owner
    failures = []

    def write(names):
        try:
            for _ in range(10):
                with registry.services.database.writing() as session:
                    for name in names:
                        record(session, name, Kind.QUOTA_CHANGED, by="tests", n=1)
        except Exception as error:
            failures.append(error)
            raise

    names = ["acme", "other"]
    threads = [
        threading.Thread(target=write, args=[order])
        for order in (names, names[::-1]) * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    for name in names:
        rows = chain(registry, name)
        assert [row.position for row in rows] == list(range(1, 62))
        assert [row.previous for row in rows[1:]] == [row.digest for row in rows[:-1]]


def test_the_digest_of_an_event_never_changes():
    """Whoever keeps one can check everything before it, with any later program."""
    link = Link(
        namespace="acme",
        position=2,
        kind="version.yanked",
        at=datetime(2026, 11, 26, 12, 0, 0, 5, tzinfo=UTC),
        actor="ann",
        token_id=UUID(int=7),
        vector="guard",
        version="1.0.0",
        details={"reason": "schlecht \N{SNOWMAN}", "n": [1, None, True]},
        previous="sha256:" + "0" * 64,
    )

    assert link.digest() == (
        "sha256:47e64c4ae916ce0d8a7f37f8cf9871f4efcc6379816368fe593765b741bd0679"
    )
