"""The policy of a namespace: owners set it, everybody who reads the namespace sees it.

Each one is kept under a number; the last one counts. To demand nothing any more, set
one without rules.
"""

from sqlalchemy.orm import Session

from safegene.artifact.promotion.policy import PromotionPolicy
from safegene_registry import membership
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.guards import Access
from safegene_registry.lifecycle.paging import number_of
from safegene_registry.log import get_logger
from safegene_registry.models import PolicyRow
from safegene_registry.pages import encode_cursor
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.promotion import promotion_repository
from safegene_registry.promotion.schemas import (
    PolicyChange,
    PolicyDetail,
    PolicyPage,
)
from safegene_registry.services import Services

log = get_logger("safegene_registry.promotion.policies")

NOTHING = PromotionPolicy(policy=1, rules=[])
"""Where nobody has said anything."""


def current(session: Session, namespace: str) -> tuple[int, PromotionPolicy]:
    """The policy that counts and its number; 0: there never was one."""
    row = promotion_repository.newest_policy(session, namespace)
    return (0, NOTHING) if row is None else (row.number, policy_of(row))


def policy_of(row: PolicyRow) -> PromotionPolicy:
    """The policy that a row holds."""
    return PromotionPolicy.from_bytes(row.document.encode())


def find(services: Services, access: Access, namespace: str) -> PolicyDetail:
    """What moving aliases demands."""
    with services.database.reading() as session:
        found = promotion_repository.list_policies(
            session, namespace, before=None, limit=1
        )
    if not found:
        return PolicyDetail(number=0, digest=None, policy=NOTHING, set_at=None, by=None)
    return detail_of(*found[0], shows_account=access.is_member)


def set_policy(
    services: Services, access: Access, namespace: str, wanted: PolicyChange
) -> PolicyDetail:
    """Have moving aliases demand this from now on; the same again changes nothing.

    Args:
        services: the process's parts.
        access: who says so.
        namespace: where.
        wanted: the policy, and which one it replaces.

    Raises:
        ProblemError: `policy-changed`: another one is there by now.
    """
    with services.database.writing() as session:
        membership.find_namespace(session, namespace, lock=True)
        found = promotion_repository.list_policies(
            session, namespace, before=None, limit=1
        )
        number = found[0][0].number if found else 0
        if wanted.expected not in (None, number):
            raise policy_changed(namespace, wanted.expected, number)
        if found and policy_of(found[0][0]) == wanted.policy:
            return detail_of(*found[0], shows_account=True)
        row = PolicyRow(
            namespace=namespace,
            number=number + 1,
            document=wanted.policy.to_bytes().decode(),
            token_id=access.caller.token_id,
            set_at=services.now(),
        )
        promotion_repository.add_policy(session, row)
        digest = str(wanted.policy.digest)
        record(
            session,
            namespace,
            Kind.POLICY_CHANGED,
            by=access.caller,
            policy=row.number,
            digest=digest,
        )
    log.info(
        "policy_changed",
        namespace=namespace,
        policy=row.number,
        digest=digest,
        by=str(access.caller.token_id),
    )
    return detail_of(row, access.caller.account, shows_account=True)


def history(
    services: Services,
    access: Access,
    namespace: str,
    *,
    limit: int,
    cursor: str | None,
) -> PolicyPage:
    """One page of the policies that there were, the last one first."""
    before = None if cursor is None else number_of(cursor)
    with services.database.reading() as session:
        found = promotion_repository.list_policies(
            session, namespace, before=before, limit=limit + 1
        )
    items = [detail_of(*each, shows_account=access.is_member) for each in found[:limit]]
    more = len(found) > limit
    return PolicyPage(
        items=items,
        next_cursor=encode_cursor(str(items[-1].number)) if more else None,
    )


def detail_of(row: PolicyRow, account: str, *, shows_account: bool) -> PolicyDetail:
    """A policy as the interface shows it."""
    policy = policy_of(row)
    return PolicyDetail(
        number=row.number,
        digest=str(policy.digest),
        policy=policy,
        set_at=row.set_at,
        by=account if shows_account else None,
    )


def policy_changed(namespace: str, expected: int | None, actual: int) -> ProblemError:
    """The problem."""
    there = f"policy {actual}" if actual else "no policy yet"
    detail = (
        f"{namespace} has {there}; it was expected to have"
        f" {f'policy {expected}' if expected else 'none'}. Nothing was changed."
    )
    fault = Fault("/expected", f"is {actual}")
    return ProblemError(detail, "policy-changed", faults=[fault])
