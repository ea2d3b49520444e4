"""A move and what it was judged by cannot pass each other, on two real connections."""

import threading

import pytest
from safegene_registry import membership
from safegene_registry.access import Role, Scope
from safegene_registry.models import PolicyRow, Token
from safegene_registry.promotion import promotion_repository
from safegene_registry.services import utc_now
from sqlalchemy import select
from support.aliases import GUARD, make_member
from support.promotion import approve, set_policy
from support.races import LOCKED, guard_on_postgresql
from support.registry_app import bearer
from support.waiting import wait_until

DEMANDING = '{"policy":1,"rules":[{"alias":"stable","approvals":2}]}'


@pytest.fixture
def registry(tmp_path, postgres_server, migrated_database):
    with guard_on_postgresql(tmp_path, postgres_server, migrated_database) as running:
        yield running


def start_moving(registry, token):
    """Move `stable` in a thread; it, and where the answer will be."""
    answers = []

    def move():
        answer = registry.client.put(
            f"{GUARD}/aliases/stable",
            json={"version": "1.0.0"},
            headers=bearer(token),
        )
        answers.append(answer)

    thread = threading.Thread(target=move)
    thread.start()
    return thread, answers


def is_waiting(registry):
    """Whether a transaction waits for another one."""
    with registry.services.database.reading() as session:
        return session.scalar(LOCKED) > 0


def test_a_policy_set_before_the_move_commits_is_the_one_it_is_judged_by(registry):
    """The first move found no policy when it began to wait; there is one by then."""
    owner = make_member(registry, "ann", Role.OWNER, Scope.ADMIN)

    with registry.services.database.writing() as session:
        membership.find_namespace(session, "acme", lock=True)
        token = session.scalars(select(Token).limit(1)).one()
        policy = PolicyRow(
            namespace="acme",
            number=1,
            document=DEMANDING,
            token_id=token.id,
            set_at=utc_now(),
        )
        promotion_repository.add_policy(session, policy)
        thread, answers = start_moving(registry, owner)
        wait_until(lambda: is_waiting(registry))
    thread.join()

    assert answers[0].status_code == 409
    assert answers[0].json()["policy"] == 1


def test_a_policy_waits_for_a_move_that_was_judged_already(registry):
    owner = make_member(registry, "ann", Role.OWNER, Scope.ADMIN)
    with registry.services.database.writing() as session:
        promotion_repository.hold_decisions(session, "acme")
        rule = {"alias": "stable", "approvals": 1}
        thread = threading.Thread(target=set_policy, args=(registry, owner, rule))
        thread.start()
        wait_until(lambda: is_waiting(registry))
        judged_by = promotion_repository.newest_policy(session, "acme")
    thread.join()

    assert judged_by is None
    with registry.services.database.reading() as session:
        assert promotion_repository.newest_policy(session, "acme").number == 1


def test_two_moves_do_not_wait_for_each_others_judgement(registry):
    """The lock is shared: only decisions wait."""
    with registry.services.database.writing() as first:
        promotion_repository.hold_decisions(first, "acme")
        with registry.services.database.writing() as second:
            promotion_repository.hold_decisions(second, "acme")


def test_a_member_who_leaves_during_the_move_does_not_count(registry):
    owner = make_member(registry, "ann", Role.OWNER, Scope.ADMIN)
    bob = make_member(registry, "bob")
    set_policy(registry, owner, {"alias": "stable", "approvals": 1})
    approve(registry, bob, "1.0.0", "stable")

    with registry.services.database.writing() as session:
        membership.set_member(session, "acme", "bob", Role.READER, by="tests")
        thread, answers = start_moving(registry, owner)
        wait_until(lambda: is_waiting(registry))
    thread.join()

    assert answers[0].status_code == 409
    assert answers[0].json()["demands"][0]["parts"][0]["found"] == "0"
