"""Statements about which evaluations count, and which of them is the best.

As in `repositories`, functions take the session of the current transaction and decide
nothing. The best one of each head's version is kept beside the head, so that searches
need not look for it; whoever changes what it follows from settles it in the same
transaction, and holds the namespace's decisions meanwhile (`hold_decisions`).
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, bindparam, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from safegene_registry.attestations.attestation_repository import (
    is_trusted,
    key_is_trusted,
)
from safegene_registry.attestations.figures import CALIBRATION, EVALUATION
from safegene_registry.models import Attestation, Head, Vector, Version

AT_LEAST = {
    "harmful_samples": Attestation.harmful_samples,
    "harmless_samples": Attestation.harmless_samples,
    "j_at_least": Attestation.j_low,
}
AT_MOST = {
    "harm_at_most": Attestation.harm_high,
    "over_refusal_at_most": Attestation.over_refusal_high,
}
"""What can be asked of an evaluation, as a promotion policy demands it: of an interval,
its pessimistic end."""

ASKED = (*AT_LEAST, *AT_MOST, "against", "signed")


# Keeping the best


def settle_version(session: Session, version_id: UUID) -> None:
    """Find the best evaluation of the heads that point at a version."""
    settle(session, Head.version_id == version_id)


def settle_head(session: Session, vector_id: UUID, fingerprint: str) -> None:
    """Find the best evaluation of one head, which has moved."""
    settle(session, Head.vector_id == vector_id, Head.fingerprint == fingerprint)


def settle_namespace(session: Session, namespace: str) -> None:
    """Find those of all heads of a namespace, where somebody else is trusted now."""
    settle(session, Head.namespace == namespace)


def settle(session: Session, *which: ColumnElement[bool]) -> None:
    """Find the best evaluation of some heads, in one statement."""
    values = {
        Head.evaluation_id: best(Attestation.id).scalar_subquery(),
        Head.j_low: best(Attestation.j_low).scalar_subquery(),
    }
    session.flush()
    statement = update(Head).where(*which).values(values)
    # Nobody reads these two from an object.
    session.execute(statement, execution_options={"synchronize_session": False})


def best(column: InstrumentedAttribute[Any]) -> Select[Any]:
    """A column of the best evaluation of a head's version."""
    return (
        select(column)
        .where(
            Attestation.version_id == Head.version_id,
            Attestation.kind == "evaluation",
            is_trusted(Head.namespace),
        )
        .order_by(Attestation.j_low.desc(), Attestation.id)
        .limit(1)
        .correlate(Head)
    )


# Showing the best of any versions


def said_of_versions() -> Select[Any]:
    """The best evaluation and the best calibration of each of some versions.

    Who is trusted comes before who only claims, and then the highest lower end of J, or
    of the gain.
    """
    trusted = is_trusted(Vector.namespace)
    lower_end = func.coalesce(Attestation.j_low, Attestation.gain_low)
    place = func.row_number().over(
        partition_by=(Attestation.version_id, Attestation.kind),
        order_by=(trusted.desc(), lower_end.desc(), Attestation.id),
    )
    said = (
        select(
            *(Attestation.version_id, Attestation.kind, Attestation.digest),
            *(*EVALUATION, *CALIBRATION),
            trusted.label("trusted"),
            place.label("place"),
        )
        .join(Version, Version.id == Attestation.version_id)
        .join(Vector, Vector.id == Version.vector_id)
        .where(
            Attestation.version_id.in_(bindparam("version_ids", expanding=True)),
            Attestation.kind.in_(("evaluation", "calibration")),
        )
        .subquery("said")
    )
    return select(said).where(said.c.place == 1)


SAID = said_of_versions()
"""To build it takes longer than to run it."""


def best_said(session: Session, version_ids: Iterable[UUID]) -> Sequence[Row[Any]]:
    """The rows of that; one statement, whatever was said."""
    ids = list(version_ids)
    return session.execute(SAID, {"version_ids": ids}).all() if ids else []


# Asking for some


def shown_by_one(
    version_id: ColumnElement[UUID],
    namespace: ColumnElement[str],
    asked: dict[str, Any],
) -> ColumnElement[bool]:
    """Whether one evaluation of a version that counts shows all that is asked.

    Args:
        version_id: of the version.
        namespace: its vector's, whose trust decides.
        asked: values by names of `ASKED`; `signed` takes a trusted key's signature.
    """
    trusted = key_is_trusted if "signed" in asked else is_trusted
    query = select(Attestation.id).where(
        Attestation.version_id == version_id,
        Attestation.kind == "evaluation",
        trusted(namespace),
    )
    for name, column in AT_LEAST.items():
        if name in asked:
            query = query.where(column >= asked[name])
    for name, column in AT_MOST.items():
        if name in asked:
            query = query.where(column <= asked[name])
    if "against" in asked:
        query = query.where(Attestation.set_name == asked["against"])
    # Asked of one row after the other, as `readable`.
    return query.offset(0).correlate_except(Attestation).exists()
