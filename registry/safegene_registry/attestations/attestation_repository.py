"""Every SQL statement about attestations and about whose count.

As in `repositories`, functions take the session of the current transaction and decide
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from safegene_registry.models import Account, Attestation, TrustedEvaluator


@dataclass(frozen=True, slots=True)
class AttestationFilter:
    """Which attestations are asked for; None: that does not matter."""

    kind: str | None = None
    evaluator: str | None = None
    """Name of the account."""
    trusted: bool | None = None
    signed: bool | None = None


NamespaceLike = str | ColumnElement[str] | InstrumentedAttribute[str]
"""A namespace, or the column that names it."""


# Attestations


def is_trusted(namespace: NamespaceLike) -> ColumnElement[bool]:
    """Whether the word of an attestation counts in a namespace, for any statement."""
    evaluator = TrustedEvaluator
    return (
        select(evaluator.name)
        .where(
            evaluator.namespace == namespace,
            or_(
                evaluator.account_id.is_(None),
                evaluator.account_id == Attestation.account_id,
            ),
            or_(evaluator.key_id.is_(None), evaluator.key_id == Attestation.key_id),
        )
        .correlate_except(evaluator)
        .exists()
    )


def key_is_trusted(namespace: NamespaceLike) -> ColumnElement[bool]:
    """The same of the signature alone: its key is trusted, for who posted this."""
    evaluator = TrustedEvaluator
    return (
        select(evaluator.name)
        .where(
            evaluator.namespace == namespace,
            evaluator.key_id == Attestation.key_id,
            or_(
                evaluator.account_id.is_(None),
                evaluator.account_id == Attestation.account_id,
            ),
        )
        .correlate_except(evaluator)
        .exists()
    )


def list_attestations(
    session: Session,
    version_id: UUID,
    namespace: str,
    wanted: AttestationFilter,
    *,
    before: tuple[datetime, UUID] | None = None,
    limit: int | None = None,
) -> Sequence[Row[Attestation, str, bool]]:
    """Attestations of a version, the last one first: who posted each, who counts.

    Args:
        session: of the transaction.
        version_id: of which version.
        namespace: the version's, whose trust decides.
        wanted: only those.
        before: time and id of the last one of the page before.
        limit: at most so many.
    """
    trusted = is_trusted(namespace)
    query = (
        select(Attestation, Account.name, trusted)
        .join(Account, Account.id == Attestation.account_id)
        .where(Attestation.version_id == version_id, *conditions(wanted, trusted))
    )
    if before is not None:
        key = tuple_(Attestation.posted_at, Attestation.id)
        query = query.where(key < before)
    query = query.order_by(Attestation.posted_at.desc(), Attestation.id.desc())
    return session.execute(query.limit(limit)).all()


def conditions(
    wanted: AttestationFilter, trusted: ColumnElement[bool]
) -> list[ColumnElement[bool]]:
    """What a filter asks of an attestation and the account that posted it."""
    found: list[ColumnElement[bool]] = []
    if wanted.kind is not None:
        found.append(Attestation.kind == wanted.kind)
    if wanted.evaluator is not None:
        found.append(Account.name == wanted.evaluator)
    if wanted.trusted is not None:
        found.append(trusted if wanted.trusted else ~trusted)
    if wanted.signed is not None:
        unsigned = Attestation.key_id.is_(None)
        found.append(~unsigned if wanted.signed else unsigned)
    return found


def find_attestation(
    session: Session, version_id: UUID, digest: str, account_id: UUID
) -> Attestation | None:
    """What an account has posted, by the digest of its envelope."""
    query = select(Attestation).where(
        Attestation.version_id == version_id,
        Attestation.digest == digest,
        Attestation.account_id == account_id,
    )
    return session.scalar(query)


def find_envelope(session: Session, version_id: UUID, digest: str) -> bytes | None:
    """The bytes of an envelope, whoever posted it."""
    query = select(Attestation.envelope).where(
        Attestation.version_id == version_id, Attestation.digest == digest
    )
    return session.scalar(query.limit(1))


def count_of(session: Session, version_id: UUID, account_id: UUID) -> int:
    """How many attestations of a version an account has posted."""
    query = select(func.count()).where(
        Attestation.version_id == version_id, Attestation.account_id == account_id
    )
    return session.scalars(query).one()


def add_attestation(session: Session, attestation: Attestation) -> None:
    """Keep a new attestation."""
    session.add(attestation)
    session.flush()


def trusts(session: Session, namespace: str, attestation_id: UUID) -> bool:
    """Whether one attestation counts in a namespace now."""
    query = select(Attestation.id).where(
        and_(Attestation.id == attestation_id, is_trusted(namespace))
    )
    return session.scalar(query) is not None


# Trusted evaluators


def list_evaluators(
    session: Session, namespace: str, *, after: str | None, limit: int
) -> Sequence[Row[TrustedEvaluator, str | None]]:
    """Whose attestations count, by name, with the account's name."""
    query = (
        select(TrustedEvaluator, Account.name)
        .outerjoin(Account, Account.id == TrustedEvaluator.account_id)
        .where(TrustedEvaluator.namespace == namespace)
    )
    if after is not None:
        query = query.where(TrustedEvaluator.name > after)
    return session.execute(query.order_by(TrustedEvaluator.name).limit(limit)).all()


def find_evaluator(
    session: Session, namespace: str, name: str
) -> TrustedEvaluator | None:
    """Whom owners call so."""
    return session.get(TrustedEvaluator, (namespace, name))


def put_evaluator(session: Session, evaluator: TrustedEvaluator) -> None:
    """Keep an evaluator, in the place of whom owners called so before."""
    session.merge(evaluator)
    session.flush()


def remove_evaluator(session: Session, evaluator: TrustedEvaluator) -> None:
    """Forget an evaluator."""
    session.delete(evaluator)
    session.flush()
