"""Advisories: what is known to be wrong with a range of versions, and what mends it.

Owners publish and withdraw them. Whoever asks for a version gets those that concern it
along with the answer; nothing is hidden by them. They never change: one that was wrong
is withdrawn, with a reason, and stays in the list.
"""

from safegene.artifact.reference import (
    VectorName,
    best_version,
    canonical_constraint,
    canonical_version,
)
from safegene_registry import catalog
from safegene_registry.access import Principal
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.lifecycle import notice_repository
from safegene_registry.lifecycle.notices import advisory_note, concerns
from safegene_registry.lifecycle.paging import number_of
from safegene_registry.lifecycle.schemas import (
    AdvisoryDetail,
    AdvisoryPage,
    AdvisoryRequest,
    Withdrawn,
)
from safegene_registry.lock_repository import lock_vector
from safegene_registry.log import get_logger
from safegene_registry.models import Advisory
from safegene_registry.pages import encode_cursor
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.services import Services

log = get_logger("safegene_registry.lifecycle.advisories")

CONTENT = ("severity", "affected", "summary", "details", "fixed_in")


def publish(
    services: Services,
    principal: Principal,
    vector: VectorName,
    wanted: AdvisoryRequest,
) -> AdvisoryDetail:
    """Publish an advisory; one that stands already is not published twice.

    Raises:
        ProblemError: `not-found`, or `invalid-request`: the version that is said to
            mend it is affected.
        InvalidReferenceError: the range or the version cannot be read.
    """
    content = {
        **wanted.model_dump(),
        "affected": canonical_constraint(wanted.affected),
        "summary": wanted.summary.strip(),
        "fixed_in": wanted.fixed_in and canonical_version(wanted.fixed_in),
    }
    fixed = content["fixed_in"]
    if fixed and best_version([fixed], content["affected"]) is not None:
        detail = f"{fixed} is said to mend it and lies in {content['affected']!r}."
        fault = Fault("/fixed_in", "is affected")
        raise ProblemError(detail, "invalid-request", faults=[fault])
    with services.database.writing() as session:
        lock_vector(session, vector)
        row = catalog.find_vector(session, vector)
        for known in notice_repository.standing_advisories(session, row.id):
            if all(getattr(known, name) == content[name] for name in CONTENT):
                return detail_of(known)
        advisory = Advisory(
            vector_id=row.id,
            token_id=principal.token_id,
            published_at=services.now(),
            withdrawn_at=None,
            withdrawal_reason=None,
            **content,
        )
        notice_repository.add_advisory(session, advisory)
        record(
            session,
            vector.namespace,
            Kind.ADVISORY_PUBLISHED,
            by=principal,
            vector=vector.name,
            number=advisory.number,
            **{name: content[name] for name in CONTENT if name != "details"},
        )
    log.info(
        "advisory_published",
        vector=str(vector),
        number=advisory.number,
        severity=advisory.severity,
        affected=advisory.affected,
        principal_id=str(principal.token_id),
    )
    return detail_of(advisory)


def withdraw(
    services: Services,
    principal: Principal,
    vector: VectorName,
    number: int,
    reason: str,
) -> AdvisoryDetail:
    """Say that an advisory does not stand; one that was withdrawn stays as it is.

    Raises:
        ProblemError: `not-found`.
    """
    with services.database.writing() as session:
        lock_vector(session, vector)
        row = catalog.find_vector(session, vector)
        advisory = notice_repository.find_advisory(session, row.id, number)
        if advisory is None:
            raise no_advisory(vector, number)
        stands = advisory.withdrawn_at is None
        if stands:
            notice_repository.withdraw(
                session, advisory, reason.strip(), services.now()
            )
            record(
                session,
                vector.namespace,
                Kind.ADVISORY_WITHDRAWN,
                by=principal,
                vector=vector.name,
                number=number,
                reason=reason.strip(),
            )
    if stands:
        log.info(
            "advisory_withdrawn",
            vector=str(vector),
            number=number,
            reason=reason.strip(),
            principal_id=str(principal.token_id),
        )
    return detail_of(advisory)


def find(services: Services, vector: VectorName, number: int) -> AdvisoryDetail:
    """One advisory of a vector.

    Raises:
        ProblemError: `not-found`.
    """
    with services.database.reading() as session:
        row = catalog.find_vector(session, vector)
        advisory = notice_repository.find_advisory(session, row.id, number)
    if advisory is None:
        raise no_advisory(vector, number)
    return detail_of(advisory)


def list_page(
    services: Services,
    vector: VectorName,
    *,
    version: str | None,
    limit: int,
    cursor: str | None,
) -> AdvisoryPage:
    """One page of a vector's advisories, the last one first.

    Args:
        services: the process's parts.
        vector: of which.
        version: only those that stand and concern it; None: all.
        limit: at most so many.
        cursor: of the page before; None: the first page.
    """
    about = None if version is None else canonical_version(version)
    before = None if cursor is None else number_of(cursor)
    with services.database.reading() as session:
        row = catalog.find_vector(session, vector)
        found = notice_repository.list_advisories(
            session, row.id, before=before, limit=limit + 1
        )
    page = found[:limit]
    more = len(found) > limit
    return AdvisoryPage(
        items=[
            detail_of(advisory)
            for advisory in page
            if about is None
            or (advisory.withdrawn_at is None and concerns(advisory, about))
        ],
        next_cursor=encode_cursor(str(page[-1].number)) if more else None,
    )


def detail_of(advisory: Advisory) -> AdvisoryDetail:
    """An advisory as the interface shows it."""
    at, reason = advisory.withdrawn_at, advisory.withdrawal_reason
    withdrawn = (
        None if at is None or reason is None else Withdrawn(at=at, reason=reason)
    )
    return AdvisoryDetail(
        **advisory_note(advisory).model_dump(),
        details=advisory.details,
        published_at=advisory.published_at,
        withdrawn=withdrawn,
    )


def no_advisory(vector: VectorName, number: int) -> ProblemError:
    """The problem."""
    return catalog.not_found(f"{vector} has no advisory {number}.")
