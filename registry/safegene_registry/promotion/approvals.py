"""Approvals: a second person wants a version to be what an alias points at.

Given by members who may publish, but not by who published the version; who moves the
alias is left out when it is moved. An approval is of one version, which never changes,
so it stays until its giver withdraws it; one of an account that may not publish any
more does not count.
"""

from sqlalchemy.orm import Session

from safegene.artifact.reference import VectorName
from safegene_registry import catalog
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.guards import Access
from safegene_registry.lifecycle.aliases import check_own, refuse_yanked
from safegene_registry.lock_repository import lock_vector
from safegene_registry.log import get_logger
from safegene_registry.models import Approval, Version
from safegene_registry.pages import decode_cursor, encode_cursor
from safegene_registry.problems import ProblemError
from safegene_registry.promotion import promotion_repository
from safegene_registry.promotion.schemas import ApprovalDetail, ApprovalPage
from safegene_registry.services import Services

log = get_logger("safegene_registry.promotion.approvals")


def approve(
    services: Services, access: Access, vector: VectorName, version: str, alias: str
) -> ApprovalDetail:
    """Approve a version for an alias; the same again is a success.

    Args:
        services: the process's parts.
        access: who approves.
        vector: whose version it is.
        version: in any spelling.
        alias: there need not be one yet.

    Raises:
        ProblemError: `not-found`, `version-yanked`, `version-purged`; `forbidden`: the
            caller published it, or is no member.
        InvalidReferenceError: no alias can be called so.
    """
    check_own(alias)
    caller = access.caller
    with services.database.writing() as session:
        lock_vector(session, vector)
        found = catalog.find_version(session, vector, version)
        refuse_yanked(vector, alias, found)
        if promotion_repository.publisher_of(session, found) == caller.account:
            detail = (
                f"{caller.account!r} published {vector}@{found.version}; approving it"
                " is for another member."
            )
            raise ProblemError(detail, "forbidden")
        known = promotion_repository.find_approval(
            session, found.id, alias, caller.account_id
        )
        row = known or Approval(
            version_id=found.id,
            alias=alias,
            account_id=caller.account_id,
            token_id=caller.token_id,
            approved_at=services.now(),
        )
        if known is None:
            promotion_repository.add_approval(session, row)
            say(session, access, vector, found, alias=alias, given=True)
    return ApprovalDetail(
        alias=alias,
        account=caller.account,
        approved_at=row.approved_at,
        counts=access.standing.role in promotion_repository.MAY_APPROVE,
    )


def withdraw(
    services: Services, access: Access, vector: VectorName, version: str, alias: str
) -> None:
    """Take one's own approval back; where the alias points stays.

    Raises:
        ProblemError: `not-found`: there is no such version, or no such approval.
    """
    check_own(alias)
    caller = access.caller
    with services.database.writing() as session:
        lock_vector(session, vector)
        found = catalog.find_version(session, vector, version)
        known = promotion_repository.find_approval(
            session, found.id, alias, caller.account_id
        )
        if known is None:
            detail = (
                f"{caller.account!r} has not approved {vector}@{found.version} for"
                f" {alias}."
            )
            raise catalog.not_found(detail)
        promotion_repository.delete_approval(session, known)
        say(session, access, vector, found, alias=alias, given=False)


def list_page(
    services: Services,
    vector: VectorName,
    version: str,
    *,
    limit: int,
    cursor: str | None,
) -> ApprovalPage:
    """One page of a version's approvals, by alias and account.

    Raises:
        ProblemError: `not-found` or `version-purged`.
    """
    after = None
    if cursor is not None:
        name, account = decode_cursor(cursor, 2)
        after = (name, account)
    with services.database.reading() as session:
        found = catalog.find_version(session, vector, version)
        rows = promotion_repository.list_approvals(
            session, found, vector.namespace, after=after, limit=limit + 1
        )
    items = [
        ApprovalDetail(
            alias=row.alias,
            account=account,
            approved_at=row.approved_at,
            counts=counts,
        )
        for row, account, counts in rows[:limit]
    ]
    more = len(rows) > limit
    return ApprovalPage(
        items=items,
        next_cursor=encode_cursor(items[-1].alias, items[-1].account) if more else None,
    )


def say(
    session: Session,
    access: Access,
    vector: VectorName,
    version: Version,
    *,
    alias: str,
    given: bool,
) -> None:
    """Make it an event, and write it into the log."""
    kind = Kind.APPROVED if given else Kind.APPROVAL_WITHDRAWN
    record(
        session,
        vector.namespace,
        kind,
        by=access.caller,
        vector=vector.name,
        version=version.version,
        alias=alias,
        digest=version.digest,
    )
    log.info(
        "approval_changed",
        kind=kind,
        vector=str(vector),
        version=version.version,
        alias=alias,
        principal_id=str(access.caller.token_id),
    )
