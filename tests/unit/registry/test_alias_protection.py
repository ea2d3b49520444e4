"""Owners say who may move an alias, and every move and rule is an event."""

import json
from functools import partial

import pytest
from safegene_registry import membership
from safegene_registry.access import Role, Scope
from safegene_registry.models import EventRow
from sqlalchemy import select
from support.aliases import (
    RULES,
    make_member,
    move,
    moves,
    protect,
    publish_guard,
    remove,
    slug,
)
from support.registry_app import bearer


@pytest.fixture
def publish(registry, tmp_path):
    """Publish versions of `acme/guard`."""
    return partial(publish_guard, registry, tmp_path)


@pytest.fixture
def member(registry):
    """Make members of `acme`, and tokens of theirs."""
    return partial(make_member, registry)


def test_a_protected_alias_is_moved_by_owners_and_those_they_name(
    registry, publish, member
):
    publish("1.0.0", "1.1.0")
    owner = member("ann", Role.OWNER, Scope.ADMIN)
    named, other = member("bob"), member("eve")
    move(registry, "stable", "1.0.0", token=other)

    rule = protect(registry, owner, "stable", ["bob"])
    refused = move(registry, "stable", "1.1.0", token=other, status=403)
    remove(registry, "stable", token=other, status=403)

    assert rule == {"alias": "stable", "vector": None, "movers": ["bob"]}
    assert slug(refused) == "forbidden"
    assert "'eve' is none of them" in refused["detail"]
    move(registry, "canary", "1.1.0", token=other)
    assert move(registry, "stable", "1.1.0", token=named)["protected"] is True
    move(registry, "stable", "1.0.0", token=owner)
    operator = registry.token_of("op", Scope.ADMIN, operator=True)
    move(registry, "stable", "1.1.0", token=operator)
    steps_by = [one["by"] for one in moves(registry, "stable")["items"]]
    assert steps_by == ["op", "ann", "bob", "eve"]


def test_a_rule_outlives_the_alias(registry, publish, member):
    publish("1.0.0")
    owner, other = member("ann", Role.OWNER, Scope.ADMIN), member("eve")
    protect(registry, owner, "stable", [])

    move(registry, "stable", "1.0.0", token=other, status=403)
    move(registry, "stable", "1.0.0", token=owner)
    remove(registry, "stable", token=owner)
    move(registry, "stable", "1.0.0", token=other, status=403)


def test_a_vectors_own_rule_goes_before_the_namespaces(registry, publish, member):
    publish("1.0.0")
    owner, named = member("ann", Role.OWNER, Scope.ADMIN), member("bob")
    protect(registry, owner, "stable", ["bob"])
    protect(registry, owner, "stable", [], vector="guard")

    move(registry, "stable", "1.0.0", token=named, status=403)
    listed = registry.client.get(RULES, headers=bearer(owner)).json()
    gone = registry.client.delete(
        f"{RULES}/stable", params={"vector": "guard"}, headers=bearer(owner)
    )

    assert listed["items"] == [
        {"alias": "stable", "vector": None, "movers": ["bob"]},
        {"alias": "stable", "vector": "guard", "movers": []},
    ]
    assert gone.status_code == 204
    move(registry, "stable", "1.0.0", token=named)


def test_rules_come_page_by_page(registry, publish, member):
    publish("1.0.0")
    owner = member("ann", Role.OWNER, Scope.ADMIN)
    for alias in ("stable", "canary"):
        protect(registry, owner, alias, ["ann"])
    protect(registry, owner, "canary", [], vector="guard")

    pages, cursor = [], None
    while True:
        params = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = registry.client.get(RULES, params=params, headers=bearer(owner)).json()
        pages += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert [(one["alias"], one["vector"]) for one in pages] == [
        ("canary", None),
        ("canary", "guard"),
        ("stable", None),
    ]
    assert [one["movers"] for one in pages] == [["ann"], [], ["ann"]]


def test_who_is_no_member_any_more_moves_nothing(registry, publish, member):
    publish("1.0.0")
    owner, named = member("ann", Role.OWNER, Scope.ADMIN), member("bob")
    protect(registry, owner, "stable", ["bob"])

    with registry.services.database.writing() as session:
        membership.remove_member(session, "acme", "bob", by="tests")
    again = member("bob")

    move(registry, "stable", "1.0.0", token=again, status=403)
    listed = registry.client.get(RULES, headers=bearer(owner)).json()["items"]
    assert listed[0]["movers"] == []
    assert named != again


def test_who_is_named_has_to_be_a_member(registry, publish, member):
    publish("1.0.0")
    owner = member("ann", Role.OWNER, Scope.ADMIN)

    problem = protect(registry, owner, "stable", ["ann", "nobody"], status=422)

    assert "No members of acme: nobody." in problem["detail"]
    assert registry.client.get(RULES, headers=bearer(owner)).json()["items"] == []
    missing = registry.client.delete(f"{RULES}/stable", headers=bearer(owner))
    assert missing.status_code == 404


def test_every_move_and_rule_is_an_event(registry, publish, member):
    publish("1.0.0", "1.1.0")
    owner = member("ann", Role.OWNER, Scope.ADMIN)
    move(registry, "stable", "1.0.0")
    move(registry, "stable", "1.0.0")
    move(registry, "stable", "1.1.0")
    protect(registry, owner, "stable", ["ann"], vector="guard")
    move(registry, "stable", "1.0.0", status=403, token=member("eve"))
    remove(registry, "stable", token=owner)

    with registry.services.database.reading() as session:
        rows = session.scalars(select(EventRow).order_by(EventRow.position)).all()
    said = [
        (row.kind, row.actor, row.vector, row.version, json.loads(row.details))
        for row in rows
        if row.kind.startswith(("alias", "protection"))
    ]
    for one in said[:2]:
        assert one[-1].pop("digest").startswith("sha256:")
    assert said == [
        ("alias.moved", *("tests", "guard", "1.0.0"), moved_from(None)),
        ("alias.moved", *("tests", "guard", "1.1.0"), moved_from("1.0.0")),
        (
            "protection.set",
            *("ann", "guard", None),
            {"alias": "stable", "movers": ["ann"]},
        ),
        ("alias.removed", *("ann", "guard", "1.1.0"), moved_from("1.1.0")),
    ]


def moved_from(version):
    return {"alias": "stable", "before": version}
