"""Whose attestations count in a namespace: owners say so.

Nothing is changed about attestations by it: who is trusted from now on counts with what
was said before, and who is not any more stops counting at once. The events of the
namespace are the history.
"""

from sqlalchemy.orm import Session

from safegene.artifact.attestation.keys import PublicKey
from safegene.errors import AttestationError
from safegene_registry import membership
from safegene_registry.access import MIRROR_ACCOUNT, Principal
from safegene_registry.attestations import (
    attestation_repository,
    standing_repository,
)
from safegene_registry.attestations.schemas import EvaluatorDetail, EvaluatorRequest
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.log import get_logger
from safegene_registry.models import TrustedEvaluator
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.services import Services
from safegene_registry.tokens import find_account

log = get_logger("safegene_registry.attestations.evaluators")


def trust(
    services: Services,
    caller: Principal,
    namespace: str,
    name: str,
    wanted: EvaluatorRequest,
) -> EvaluatorDetail:
    """Let somebody's attestations count; whoever was called so before does not.

    Args:
        services: the process's parts.
        caller: who says so.
        namespace: where.
        name: what to call the evaluator.
        wanted: the account, the key, or both.

    Raises:
        ProblemError: `not-found`: there is no such account; `invalid-request`: the key
            is none of ours, or there is none for the account of mirrors.
    """
    key = _read_key(wanted.public_key)
    if key is None and wanted.account == MIRROR_ACCOUNT:
        detail = (
            f"The account {MIRROR_ACCOUNT!r} says nothing of its own: it passes on what"
            " others say elsewhere. Trust the key that signs it."
        )
        fault = Fault("/account", "is trusted with a public key only")
        raise ProblemError(detail, "invalid-request", faults=[fault])
    with services.database.writing() as session:
        membership.find_namespace(session, namespace, lock=True)
        account = (
            None if wanted.account is None else find_account(session, wanted.account)
        )
        known = attestation_repository.find_evaluator(session, namespace, name)
        account_id = None if account is None else account.id
        key_id = None if key is None else str(key.key_id)
        if known is None or (known.account_id, known.key_id) != (account_id, key_id):
            known = TrustedEvaluator(
                namespace=namespace,
                name=name,
                account_id=account_id,
                key_id=key_id,
                public_key=None if key is None else key.pem,
                token_id=caller.token_id,
                created_at=services.now(),
            )
            attestation_repository.put_evaluator(session, known)
            standing_repository.settle_namespace(session, namespace)
            _say(session, Kind.EVALUATOR_TRUSTED, caller, known, wanted.account)
        return detail_of(known, wanted.account)


def distrust(services: Services, caller: Principal, namespace: str, name: str) -> None:
    """Let somebody's attestations not count any more.

    Raises:
        ProblemError: `not-found`.
    """
    with services.database.writing() as session:
        membership.find_namespace(session, namespace, lock=True)
        known = attestation_repository.find_evaluator(session, namespace, name)
        if known is None:
            detail = f"Nobody called {name} is trusted in {namespace}."
            raise ProblemError(detail, "not-found")
        _say(session, Kind.EVALUATOR_DISTRUSTED, caller, known, None)
        attestation_repository.remove_evaluator(session, known)
        standing_repository.settle_namespace(session, namespace)


def detail_of(row: TrustedEvaluator, account: str | None) -> EvaluatorDetail:
    """An evaluator as the interface shows it."""
    return EvaluatorDetail(
        name=row.name,
        account=account,
        key_id=row.key_id,
        public_key=row.public_key,
        created_at=row.created_at,
    )


def _read_key(pem: str | None) -> PublicKey | None:
    try:
        return None if pem is None else PublicKey.from_pem(pem)
    except AttestationError as error:
        fault = Fault("/public_key", "not a public key on EC P-256 in PEM")
        raise ProblemError(error.detail, "invalid-request", faults=[fault]) from error


def _say(
    session: Session,
    kind: Kind,
    caller: Principal,
    row: TrustedEvaluator,
    account: str | None,
) -> None:
    told = {} if account is None else {"account": account}
    record(
        session,
        row.namespace,
        kind,
        by=caller,
        evaluator=row.name,
        key_id=row.key_id,
        **told,
    )
    log.info(
        "evaluator_changed",
        kind=kind,
        namespace=row.namespace,
        evaluator=row.name,
        key_id=row.key_id,
        by=str(caller.token_id),
    )
