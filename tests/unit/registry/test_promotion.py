"""An alias moves where the policy lets it, and a refusal says what is missing."""

import json
from contextlib import contextmanager
from functools import partial

import pytest
from safegene_registry import membership
from safegene_registry.access import Role, Scope
from safegene_registry.models import EventRow
from sqlalchemy import event, select
from support.aliases import GUARD, make_member, move, publish_guard, slug, yank
from support.attestations import an_evaluation, enveloped
from support.promotion import POLICY, approve, check, policy_of, set_policy, withdraw
from support.registry_app import bearer

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE
from safegene.artifact.attestation.keys import PrivateKey
from safegene.artifact.digest import Digest

SECOND = {"alias": "stable", "approvals": 1}
MEASURED = {
    "alias": "stable",
    "evaluations": [{"harmful_samples": 300, "harm": {"upper_end_at_most": "0.1"}}],
    "signatures": 1,
}


@pytest.fixture
def publish(registry, tmp_path):
    """Publish versions of `acme/guard`, by the account `tests`."""
    return partial(publish_guard, registry, tmp_path)


@pytest.fixture
def owner(registry, publish):
    """A token of an owner, who has published nothing."""
    publish("1.0.0", "1.1.0")
    return make_member(registry, "ann", Role.OWNER, Scope.ADMIN)


@pytest.fixture
def bob(registry, owner):
    """A token of a member who may publish."""
    return make_member(registry, "bob")


def read(registry, path=POLICY, token=None):
    headers = bearer(token or registry.token)
    return registry.client.get(path, headers=headers).json()


def kinds(registry):
    """Kind, actor and details of the events about promotion."""
    with registry.services.database.reading() as session:
        found = session.scalars(select(EventRow).order_by(EventRow.position)).all()
    return [
        (row.kind, row.actor, json.loads(row.details))
        for row in found
        if row.kind.startswith(("policy", "approval"))
    ]


def test_a_policy_is_kept_under_a_number_and_replaced_by_who_knows_it(registry, owner):
    assert read(registry)["number"] == 0

    first = set_policy(registry, owner, SECOND, expected=0)
    again = set_policy(registry, owner, SECOND, expected=1)
    late = set_policy(registry, owner, expected=0, status=412)
    second = set_policy(registry, owner)

    assert (first["number"], again["number"], second["number"]) == (1, 1, 2)
    assert slug(late) == "policy-changed"
    assert "acme has policy 1; it was expected to have none" in late["detail"]
    assert second["policy"] == policy_of()
    listed = read(registry, f"{POLICY}/history?limit=1")
    assert [one["number"] for one in listed["items"]] == [2]
    cursor = listed["next_cursor"]
    older = read(registry, f"{POLICY}/history?limit=1&cursor={cursor}")
    assert [one["number"] for one in older["items"]] == [1]
    assert older["next_cursor"] is None
    assert older["items"][0]["by"] == "ann"
    assert [(kind, actor) for kind, actor, _ in kinds(registry)] == [
        ("policy.changed", "ann")
    ] * 2
    assert kinds(registry)[1][2]["digest"] == second["digest"]


def test_only_owners_set_one_and_strangers_do_not_see_who(registry, owner, bob):
    set_policy(registry, bob, SECOND, status=403)
    set_policy(registry, owner, SECOND)

    answer = registry.client.get(POLICY)

    assert answer.status_code == 200
    assert answer.json()["by"] is None
    assert read(registry, token=bob)["by"] == "ann"


def test_what_is_wrong_with_a_policy_is_pointed_at(registry, owner):
    rule = {"alias": "stable", "evaluations": [{"harm": {"upper_end_at_most": "0"}}]}

    refused = set_policy(registry, owner, rule, status=422)

    (fault,) = refused["errors"]
    pointer = "/policy/rules/0/evaluations/0/harm/upper_end_at_most"
    assert fault["pointer"] == pointer
    assert "no finite number of answers" in fault["detail"]
    assert read(registry)["number"] == 0


def test_a_second_person_has_to_approve(registry, owner, bob):
    set_policy(registry, owner, SECOND)

    refused = move(registry, "stable", "1.0.0", token=owner, status=409)
    approve(registry, bob, "1.0.0", "stable")
    moved = move(registry, "stable", "1.0.0", token=owner)

    assert slug(refused) == "promotion-refused"
    assert refused["policy"] == 1
    assert refused["demands"] == [
        {
            "demand": "1 approval by others",
            "kind": "approvals",
            "met": False,
            "parts": [
                {
                    "measure": "approvals",
                    "met": False,
                    "wanted": "at least 1",
                    "found": "0",
                    "missed_by": "1",
                }
            ],
            "evidence": None,
            "advice": refused["demands"][0]["advice"],
        }
    ]
    assert (
        "neither 'tests', who published the version"
        in (refused["demands"][0]["advice"])
    )
    assert "approvals at least 1, found 0, off by 1" in refused["detail"]
    assert moved["version"] == "1.0.0"
    # The same again moves nothing, so it takes nothing.
    withdraw(registry, bob, "1.0.0", "stable")
    move(registry, "stable", "1.0.0", token=owner)
    move(registry, "canary", "1.0.0", token=owner)


def test_who_moves_who_published_and_who_left_do_not_count(registry, owner, bob):
    set_policy(registry, owner, SECOND)

    refused = approve(registry, registry.token, "1.0.0", "stable", status=403)
    approve(registry, bob, "1.0.0", "stable")
    by_bob = move(registry, "stable", "1.0.0", token=bob, status=409)
    with registry.services.database.writing() as session:
        membership.set_member(session, "acme", "bob", Role.READER, by="tests")
    by_ann = move(registry, "stable", "1.0.0", token=owner, status=409)

    assert "approving it is for another member" in refused["detail"]
    assert "1 approval not such a member's" in by_bob["demands"][0]["advice"]
    assert by_ann["demands"][0]["parts"][0]["found"] == "0"
    given = read(registry, f"{GUARD}/versions/1.0.0/approvals")["items"]
    assert [(one["account"], one["counts"]) for one in given] == [("bob", False)]


def test_an_approval_is_of_one_version_and_one_alias(registry, owner, bob):
    set_policy(registry, owner, SECOND, {"alias": "gold", "approvals": 1})
    approve(registry, bob, "1.0.0", "stable")

    move(registry, "stable", "1.1.0", token=owner, status=409)
    move(registry, "gold", "1.0.0", token=owner, status=409)
    move(registry, "stable", "1.0.0", token=owner)


def test_an_approval_can_be_withdrawn_by_who_gave_it(registry, owner, bob):
    set_policy(registry, owner, SECOND)
    approve(registry, bob, "1.0.0", "stable")
    approve(registry, bob, "1.0.0", "stable")

    withdraw(registry, owner, "1.0.0", "stable", status=404)
    withdraw(registry, bob, "1.0.0", "stable")

    move(registry, "stable", "1.0.0", token=owner, status=409)
    assert [(kind, actor) for kind, actor, _ in kinds(registry)[1:]] == [
        ("approval.given", "bob"),
        ("approval.withdrawn", "bob"),
    ]
    yank(registry, "1.0.0")
    approve(registry, bob, "1.0.0", "stable", status=409)


def test_nobody_is_above_the_policy(registry, owner, bob):
    set_policy(registry, owner, SECOND)
    operator = registry.token_of("op", Scope.ADMIN, operator=True)

    for token in (owner, bob, operator):
        refused = move(registry, "stable", "1.0.0", token=token, status=409)
        assert slug(refused) == "promotion-refused"
    set_policy(registry, owner, SECOND, {"alias": "stable", "vector": "guard"})
    move(registry, "stable", "1.0.0", token=bob)


def test_looking_first_says_the_same_and_changes_nothing(registry, owner, bob):
    set_policy(registry, owner, SECOND, expected=0)
    before = kinds(registry)

    seen = check(registry, owner, "stable", "1.0")
    refused = move(registry, "stable", "1.0.0", token=owner, status=409)
    other = check(registry, owner, "canary", "1.0.0", expected=None)
    late = check(registry, owner, "canary", "1.0.0", expected="1.1.0", status=412)
    approve(registry, bob, "1.0.0", "stable")
    after = check(registry, owner, "stable", "1.0.0")

    assert (seen["allowed"], seen["version"], seen["policy"]) == (False, "1.0.0", 1)
    assert seen["demands"] == refused["demands"]
    assert (other["allowed"], other["demands"]) == (True, [])
    assert slug(late) == "alias-changed"
    assert after["allowed"]
    assert after["demands"][0]["advice"] is None
    assert kinds(registry)[: len(before)] == before
    assert len(kinds(registry)) == len(before) + 1
    listed = read(registry, f"{GUARD}/aliases")["items"]
    assert listed == []


def test_a_demand_that_nothing_is_known_about_is_not_met(registry, owner):
    set_policy(registry, owner, MEASURED)

    refused = move(registry, "stable", "1.0.0", token=owner, status=409)

    evaluation, signatures = refused["demands"]
    assert [(part["measure"], part["found"]) for part in evaluation["parts"]] == [
        ("harmful_samples", None),
        ("harmless_samples", None),
        ("harm.upper_end", None),
    ]
    assert evaluation["parts"][2]["wanted"] == "at most 0.1"
    assert signatures["parts"][0]["missed_by"] == "1"
    assert all(demand["advice"] for demand in refused["demands"])
    assert "and 2 more" not in refused["detail"]
    assert "and 1 more" in refused["detail"]


def test_a_page_of_approvals_leads_to_the_next(registry, owner, bob):
    for alias in ("gold", "stable"):
        approve(registry, bob, "1.0.0", alias)
    approve(registry, owner, "1.0.0", "stable")

    path, found = f"{GUARD}/versions/1.0.0/approvals?limit=1", []
    cursor = ""
    while cursor is not None:
        page = read(registry, f"{path}{cursor and '&cursor=' + cursor}")
        found += [(one["alias"], one["account"]) for one in page["items"]]
        cursor = page["next_cursor"]

    assert found == [("gold", "bob"), ("stable", "ann"), ("stable", "bob")]


@contextmanager
def counted(database):
    """Write down the questions that the database is asked."""
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def trust(registry, owner, name, **whom):
    answer = registry.client.put(
        f"/v1/namespaces/acme/evaluators/{name}", json=whom, headers=bearer(owner)
    )
    assert answer.status_code == 200, answer.text


def attest(registry, token, key=None, **measured):
    """Post an evaluation of 1.0.0; its digest."""
    url = f"{GUARD}/versions/1.0.0"
    digest = Digest.parse(read(registry, url)["digest"])
    answer = registry.client.post(
        f"{url}/attestations",
        content=enveloped(key, an_evaluation(**measured), digest),
        headers={**bearer(token), "Content-Type": ENVELOPE_MEDIA_TYPE},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["digest"]


def test_only_evaluations_of_trusted_evaluators_open_the_gate(registry, owner, bob):
    rule = {**MEASURED, "signatures": 0}
    set_policy(registry, owner, rule)
    eve = make_member(registry, "eve")
    trust(registry, owner, "lab", account="bob")

    attest(registry, eve, refused=400, n=400)
    claimed = move(registry, "stable", "1.0.0", token=owner, status=409)
    near = attest(registry, bob, refused=370, n=400)
    missed = move(registry, "stable", "1.0.0", token=owner, status=409)
    good = attest(registry, bob, refused=380, n=400)
    seen = check(registry, owner, "stable", "1.0.0")

    (demand,) = claimed["demands"]
    assert demand["parts"][0]["found"] is None
    assert "1 evaluation of another kind or not trusted" in demand["advice"]
    (demand,) = missed["demands"]
    assert demand["evidence"] == near
    assert [part["met"] for part in demand["parts"]] == [True, True, False]
    part = demand["parts"][2]
    assert float(part["found"]) - 0.1 == pytest.approx(float(part["missed_by"]))
    assert seen["demands"][0]["evidence"] == good
    move(registry, "stable", "1.0.0", token=owner)


def test_a_signature_counts_if_its_key_is_trusted(registry, owner, bob):
    key, other = PrivateKey.generate(), PrivateKey.generate()
    rule = {"alias": "stable", "evaluations": [{"signed": True}], "signatures": 1}
    set_policy(registry, owner, rule)
    trust(registry, owner, "person", account="bob")
    attest(registry, bob, other)

    refused = move(registry, "stable", "1.0.0", token=owner, status=409)
    trust(registry, owner, "lab", public_key=key.public.pem)
    attest(registry, bob, key)
    move(registry, "stable", "1.0.0", token=owner)

    assert [one["met"] for one in refused["demands"]] == [False, False]
    assert "1 key not trusted left out" in refused["demands"][1]["advice"]


def test_who_is_not_trusted_any_more_stops_counting(registry, owner, bob):
    set_policy(registry, owner, {"alias": "stable", "evaluations": [{}]})
    trust(registry, owner, "lab", account="bob")
    attest(registry, bob)
    assert check(registry, owner, "stable", "1.0.0")["allowed"]

    gone = registry.client.delete(
        "/v1/namespaces/acme/evaluators/lab", headers=bearer(owner)
    )

    assert gone.status_code == 204
    assert not check(registry, owner, "stable", "1.0.0")["allowed"]


def test_a_verdict_takes_as_many_statements_however_much_is_known(registry, owner, bob):
    def asked():
        with counted(registry.services.database) as seen:
            check(registry, owner, "stable", "1.0.0")
        return len(seen)

    nothing = asked()
    set_policy(registry, owner, {**MEASURED, "approvals": 1})
    few = asked()
    for n in range(5):
        attest(registry, bob, model=f"m{n}")
    approve(registry, bob, "1.0.0", "stable")

    assert few == asked() == nothing + 3
