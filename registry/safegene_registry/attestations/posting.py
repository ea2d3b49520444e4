"""Posting an attestation: somebody says something of a version.

Whoever may read the version may, with a token that may publish; a yank statement takes
who may yank. The envelope is kept as it came. The same one again by the same account
is a success that changes nothing; another account that posts it says so, too.
"""

import math
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from safegene.artifact.attestation.envelope import Envelope
from safegene.artifact.attestation.figures import Figure
from safegene.artifact.attestation.predicates import (
    CalibrationMade,
    Evaluation,
    Kind,
    Said,
)
from safegene.artifact.digest import Digest
from safegene.artifact.reference import VectorName
from safegene.errors import AttestationError
from safegene_registry import catalog
from safegene_registry.access import Action
from safegene_registry.attestations import (
    attestation_repository,
    standing_repository,
)
from safegene_registry.attestations.listing import entry
from safegene_registry.attestations.schemas import AttestationEntry
from safegene_registry.events.kinds import Kind as EventKind
from safegene_registry.events.recording import record
from safegene_registry.guards import Access, admit
from safegene_registry.lock_repository import lock_vector
from safegene_registry.log import get_logger
from safegene_registry.models import Attestation, Version
from safegene_registry.problems import ProblemError
from safegene_registry.promotion import promotion_repository
from safegene_registry.services import Services

log = get_logger("safegene_registry.attestations.posting")

MAX_OF_ACCOUNT = 100
"""Attestations of one version by one account: everybody may post, nobody may flood."""


class Posted(NamedTuple):
    """What was posted, and whether it is new."""

    entry: AttestationEntry
    is_new: bool


def post(
    services: Services,
    access: Access,
    vector: VectorName,
    version: str,
    data: bytes,
) -> Posted:
    """Keep what somebody says of a version.

    Args:
        services: the process's parts.
        access: who says so.
        vector: whose version it is.
        version: in any spelling.
        data: the envelope's exact bytes.

    Raises:
        AttestationError: the envelope breaks the format, its signature does not hold,
            or it is about another version.
        ProblemError: `not-found`, `version-purged`; `forbidden`: a yank statement by
            who may not yank; `attestation-limit`.
    """
    envelope = Envelope.from_bytes(data)
    envelope.verify()
    if envelope.statement.kind is Kind.YANK:
        hidden = f"There is no vector {vector}."
        admit(Action.PUBLISH, access.standing, hidden)
    return keep(services, access, vector, version, envelope, at_most=MAX_OF_ACCOUNT)


def keep(
    services: Services,
    access: Access,
    vector: VectorName,
    version: str,
    envelope: Envelope,
    *,
    at_most: int,
) -> Posted:
    """Keep an envelope whose signature was checked, by who may say what it says.

    Args:
        services: the process's parts.
        access: in whose name it is kept.
        vector: whose version it is.
        version: in any spelling.
        envelope: what is said.
        at_most: so many of one version in that name.

    Raises:
        AttestationError: it is about another version.
        ProblemError: `not-found`, `version-purged` or `attestation-limit`.
    """
    statement = envelope.statement
    with services.database.writing() as session:
        lock_vector(session, vector)
        promotion_repository.hold_decisions(session, vector.namespace)
        found = catalog.find_version(session, vector, version)
        statement.require_subject(Digest.parse(found.digest))
        known = attestation_repository.find_attestation(
            session, found.id, str(envelope.digest), access.caller.account_id
        )
        row = known or _new(access, found, envelope, at=services.now())
        if known is None:
            _check_room(session, access, found, at_most)
            attestation_repository.add_attestation(session, row)
            _say(session, access, vector, found, row)
        trusted = attestation_repository.trusts(session, vector.namespace, row.id)
        if known is None and trusted and statement.kind is Kind.EVALUATION:
            standing_repository.settle_version(session, found.id)
    if known is None:
        log.info(
            "attested",
            vector=str(vector),
            version=found.version,
            kind=row.kind,
            digest=row.digest,
            key_id=row.key_id,
            principal_id=str(access.caller.token_id),
        )
    return Posted(entry(row, access.caller.account, trusted=trusted), known is None)


def _check_room(
    session: Session, access: Access, version: Version, at_most: int
) -> None:
    caller = access.caller
    count = attestation_repository.count_of(session, version.id, caller.account_id)
    if count >= at_most:
        detail = (
            f"The account {caller.account!r} has posted {count} attestations of this"
            f" version already; at most {at_most} are kept."
        )
        raise ProblemError(detail, "attestation-limit")


def _new(
    access: Access, version: Version, envelope: Envelope, *, at: datetime
) -> Attestation:
    return Attestation(
        version_id=version.id,
        digest=str(envelope.digest),
        envelope=envelope.to_bytes(),
        kind=str(envelope.statement.kind),
        account_id=access.caller.account_id,
        token_id=access.caller.token_id,
        key_id=None if envelope.key_id is None else str(envelope.key_id),
        posted_at=at,
        **numbers_of(envelope.statement.said),
    )


def _say(
    session: Session,
    access: Access,
    vector: VectorName,
    version: Version,
    row: Attestation,
) -> None:
    record(
        session,
        vector.namespace,
        EventKind.ATTESTED,
        by=access.caller,
        vector=vector.name,
        version=version.version,
        attestation=row.digest,
        attested=row.kind,
        key_id=row.key_id,
    )


def numbers_of(said: Said) -> dict[str, Any]:
    """The columns of what is said that queries look at.

    Raises:
        AttestationError: a number of a calibration is beyond all bounds.
    """
    if isinstance(said, Evaluation):
        return {
            "target_fingerprint": said.target_fingerprint,
            "set_name": said.against,
            "harmful_samples": said.harm.n,
            "harmless_samples": said.over_refusal.n,
            **_columns("harm", said.harm),
            **_columns("j", said.J),
            **_columns("over_refusal", said.over_refusal),
        }
    if isinstance(said, CalibrationMade):
        made = said.calibration
        texts = (made.gain.value, made.gain.low, made.gain.high, made.realised_kl)
        names = ("gain_value", "gain_low", "gain_high", "kl")
        numbers = dict(zip(names, map(float, texts), strict=True))
        if not all(math.isfinite(number) for number in numbers.values()):
            message = "attestation: the calibration's gain and KL have to be finite"
            pointer = "/predicate/calibration"
            raise AttestationError(message, reason="predicate", pointer=pointer)
        return {"target_fingerprint": made.target_fingerprint, **numbers}
    return {}


def _columns(name: str, figure: Figure) -> dict[str, float]:
    value, low, high = figure.numbers
    return {f"{name}_value": value, f"{name}_low": low, f"{name}_high": high}
