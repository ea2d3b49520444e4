"""Deprecation: what should not be used any more works as before, and says so.

Of a version or of a whole vector, with a message and, if there is one, a reference to
what should be used in its place. It hides nothing: `yanking` does.
"""

from sqlalchemy.orm import Session

from safegene.artifact.reference import (
    VectorName,
    canonical_version,
    parse_reference,
)
from safegene_registry import catalog
from safegene_registry.access import Principal
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.lifecycle import notice_repository
from safegene_registry.lifecycle.notices import deprecated_by
from safegene_registry.lifecycle.schemas import DeprecationRequest
from safegene_registry.lock_repository import lock_vector
from safegene_registry.log import get_logger
from safegene_registry.models import VectorDeprecation, VersionDeprecation
from safegene_registry.schemas import Deprecated
from safegene_registry.services import Services

log = get_logger("safegene_registry.lifecycle.deprecation")

Row = VersionDeprecation | VectorDeprecation


def deprecate(
    services: Services,
    principal: Principal,
    vector: VectorName,
    version: str | None,
    wanted: DeprecationRequest,
) -> Deprecated:
    """Say that a version or a whole vector should not be used any more.

    The same again is a success; another message replaces the first.

    Args:
        services: the process's parts.
        principal: who says so.
        vector: of which.
        version: in any spelling; None: the whole vector.
        wanted: the message, and what to use in its place.

    Raises:
        ProblemError: `not-found`.
        InvalidReferenceError: the successor is no reference.
    """
    message, successor = wanted.message.strip(), None
    if wanted.successor is not None:
        successor = str(parse_reference(wanted.successor))
    with services.database.writing() as session:
        lock_vector(session, vector)
        before, row = current(session, vector, version)
        same = before is not None and (before.message, before.successor) == (
            message,
            successor,
        )
        if not same:
            row.deprecated_at = before.deprecated_at if before else services.now()
            row.message, row.successor = message, successor
            row.token_id = principal.token_id
            notice_repository.put_deprecation(session, row)
            say(session, principal, vector, version, row)
        found = deprecated_by(before if before is not None and same else row)
    if not same:
        tell(principal, vector, version, message=message, successor=successor)
    return found


def undeprecate(
    services: Services, principal: Principal, vector: VectorName, version: str | None
) -> None:
    """Take that back; what is not deprecated stays as it is.

    Raises:
        ProblemError: `not-found`: there is no such vector or version.
    """
    with services.database.writing() as session:
        lock_vector(session, vector)
        before, row = current(session, vector, version)
        if isinstance(row, VersionDeprecation):
            notice_repository.delete_version_deprecation(session, row.version_id)
        else:
            notice_repository.delete_vector_deprecation(session, row.vector_id)
        if before is not None:
            say(session, principal, vector, version, None)
    if before is not None:
        tell(principal, vector, version, message=None, successor=None)


def current(
    session: Session, vector: VectorName, version: str | None
) -> tuple[Row | None, Row]:
    """What is said of a version, else of a vector; and a new row about the same."""
    if version is None:
        vector_id = catalog.find_vector(session, vector).id
        return (
            notice_repository.find_vector_deprecation(session, vector_id),
            VectorDeprecation(vector_id=vector_id),
        )
    version_id = catalog.find_version(session, vector, version).id
    return (
        notice_repository.find_version_deprecation(session, version_id),
        VersionDeprecation(version_id=version_id),
    )


def say(
    session: Session,
    principal: Principal,
    vector: VectorName,
    version: str | None,
    row: Row | None,
) -> None:
    """Make it an event; no row: it was taken back."""
    about = None if version is None else canonical_version(version)
    details = (
        {} if row is None else {"message": row.message, "successor": row.successor}
    )
    record(
        session,
        vector.namespace,
        Kind.UNDEPRECATED if row is None else Kind.DEPRECATED,
        by=principal,
        vector=vector.name,
        version=about,
        **details,
    )


def tell(
    principal: Principal,
    vector: VectorName,
    version: str | None,
    *,
    message: str | None,
    successor: str | None,
) -> None:
    """Write it into the log."""
    log.info(
        "undeprecated" if message is None else "deprecated",
        vector=str(vector),
        version=version,
        message=message,
        successor=successor,
        principal_id=str(principal.token_id),
    )
