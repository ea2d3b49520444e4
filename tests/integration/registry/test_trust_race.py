"""What is said and who is trusted cannot pass each other, on two real connections."""

import threading

import pytest
from safegene_registry import membership
from safegene_registry.access import Role, Scope
from safegene_registry.attestations import (
    attestation_repository,
    standing_repository,
)
from safegene_registry.models import Head, Token, TrustedEvaluator
from safegene_registry.promotion import promotion_repository
from safegene_registry.services import utc_now
from safegene_registry.tokens import find_account
from sqlalchemy import select
from support.aliases import GUARD, make_member
from support.attestations import an_evaluation, enveloped
from support.races import LOCKED, guard_on_postgresql
from support.registry_app import bearer
from support.waiting import wait_until

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE
from safegene.artifact.digest import Digest


@pytest.fixture
def registry(tmp_path, postgres_server, migrated_database):
    with guard_on_postgresql(tmp_path, postgres_server, migrated_database) as running:
        yield running


def post(registry, token, digest, answers):
    answers.append(
        registry.client.post(
            f"{GUARD}/versions/1.0.0/attestations",
            content=enveloped(None, an_evaluation(), digest),
            headers={**bearer(token), "Content-Type": ENVELOPE_MEDIA_TYPE},
        )
    )


def digest_of_guard(registry):
    answer = registry.client.get(f"{GUARD}/versions/1.0.0")
    return Digest.parse(answer.json()["digest"])


def is_waiting(registry):
    """Whether a transaction waits for another one."""
    with registry.services.database.reading() as session:
        return session.scalar(LOCKED) > 0


def best_j(registry):
    with registry.services.database.reading() as session:
        return session.scalars(select(Head.j_low)).one()


def test_what_is_posted_while_its_author_becomes_trusted_counts(registry):
    """The one that settles first sees nothing of the other's rows."""
    token, answers = registry.token_of("lab"), []
    digest = digest_of_guard(registry)
    with registry.services.database.writing() as session:
        membership.find_namespace(session, "acme", lock=True)
        lab = find_account(session, "lab")
        evaluator = TrustedEvaluator(
            namespace="acme",
            name="lab",
            account_id=lab.id,
            token_id=registry_token(session),
            created_at=utc_now(),
        )
        attestation_repository.put_evaluator(session, evaluator)
        standing_repository.settle_namespace(session, "acme")
        thread = threading.Thread(target=post, args=(registry, token, digest, answers))
        thread.start()
        wait_until(lambda: is_waiting(registry))
    thread.join()

    assert answers[0].status_code == 201, answers[0].text
    assert answers[0].json()["trusted"] is True
    assert best_j(registry) == pytest.approx(an_evaluation().J.numbers[1])


def test_trust_waits_for_what_is_being_posted(registry):
    owner = make_member(registry, "ann", Role.OWNER, Scope.ADMIN)
    token, answers = registry.token_of("lab"), []
    post(registry, token, digest_of_guard(registry), answers)
    with registry.services.database.writing() as session:
        promotion_repository.hold_decisions(session, "acme")
        thread = threading.Thread(target=trust_lab, args=(registry, owner, answers))
        thread.start()
        wait_until(lambda: is_waiting(registry))
        standing_repository.settle_namespace(session, "acme")
    thread.join()

    assert [answer.status_code for answer in answers] == [201, 200]
    assert best_j(registry) == pytest.approx(an_evaluation().J.numbers[1])


def registry_token(session):
    """Id of some token."""
    return session.scalars(select(Token.id).limit(1)).one()


def trust_lab(registry, owner, answers):
    answers.append(
        registry.client.put(
            "/v1/namespaces/acme/evaluators/lab",
            json={"account": "lab"},
            headers=bearer(owner),
        )
    )
