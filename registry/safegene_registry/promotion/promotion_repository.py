"""Every SQL statement about promotion policies, approvals and what counts as evidence.

As in `repositories`, functions take the session of the current transaction and decide
nothing.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Row, and_, delete, select
from sqlalchemy.orm import Session

from safegene_registry.access import Role
from safegene_registry.attestations import attestation_repository
from safegene_registry.models import (
    Account,
    Approval,
    Attestation,
    Member,
    Namespace,
    PolicyRow,
    Token,
    Version,
)

MAY_APPROVE = (Role.PUBLISHER, Role.OWNER)
"""Roles of members whose approvals count."""


def hold_decisions(session: Session, namespace: str) -> None:
    """Keep owners from changing what they have decided until the transaction ends.

    Their decisions about policy, members, protection and evaluators lock the same row
    alone; several who only go by them do not wait for each other. On SQLite nobody else
    writes anyhow.
    """
    query = select(Namespace.name).where(Namespace.name == namespace)
    session.execute(query.with_for_update(read=True))


# Policies


def newest_policy(session: Session, namespace: str) -> PolicyRow | None:
    """The policy that counts."""
    query = select(PolicyRow).where(PolicyRow.namespace == namespace)
    return session.scalar(query.order_by(PolicyRow.number.desc()).limit(1))


def list_policies(
    session: Session, namespace: str, *, before: int | None, limit: int
) -> Sequence[Row[PolicyRow, str]]:
    """Policies of a namespace and the accounts that set them, the last one first."""
    query = (
        select(PolicyRow, Account.name)
        .join(Token, Token.id == PolicyRow.token_id)
        .join(Account, Account.id == Token.account_id)
        .where(PolicyRow.namespace == namespace)
    )
    if before is not None:
        query = query.where(PolicyRow.number < before)
    return session.execute(query.order_by(PolicyRow.number.desc()).limit(limit)).all()


def add_policy(session: Session, policy: PolicyRow) -> None:
    """Keep a policy; the caller has locked the namespace."""
    session.add(policy)
    session.flush()


# Approvals


def find_approval(
    session: Session, version_id: UUID, alias: str, account_id: UUID
) -> Approval | None:
    """The approval of one account."""
    return session.get(Approval, (version_id, alias, account_id))


def add_approval(session: Session, approval: Approval) -> None:
    """Keep an approval."""
    session.add(approval)
    session.flush()


def delete_approval(session: Session, approval: Approval) -> None:
    """Forget an approval."""
    session.execute(
        delete(Approval).where(
            Approval.version_id == approval.version_id,
            Approval.alias == approval.alias,
            Approval.account_id == approval.account_id,
        )
    )


def list_approvals(
    session: Session,
    version: Version,
    namespace: str,
    *,
    alias: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int | None = None,
) -> Sequence[Row[Approval, str, bool]]:
    """Approvals of a version by alias and account: who gave each, and may do so now."""
    member = and_(
        Member.account_id == Approval.account_id,
        Member.namespace == namespace,
        Member.role.in_(MAY_APPROVE),
    )
    query = (
        select(Approval, Account.name, Member.account_id.is_not(None))
        .join(Account, Account.id == Approval.account_id)
        .outerjoin(Member, member)
        .where(Approval.version_id == version.id)
    )
    if alias is not None:
        query = query.where(Approval.alias == alias)
    if after is not None:
        name, account = after
        query = query.where(
            (Approval.alias > name)
            | ((Approval.alias == name) & (Account.name > account))
        )
    query = query.order_by(Approval.alias, Account.name)
    return session.execute(query.limit(limit)).all()


def publisher_of(session: Session, version: Version) -> str:
    """Name of the account that published a version."""
    query = (
        select(Account.name)
        .join(Token, Token.account_id == Account.id)
        .where(Token.id == version.token_id)
    )
    return session.scalars(query).one()


# Evidence


def said_of(
    session: Session, version_id: UUID, namespace: str, *, limit: int
) -> Sequence[Row[Attestation, bool, bool]]:
    """What was said of a version, but for yanks: whether it counts, and its key does.

    One statement. Whose word counts comes first, so that nobody who only claims can
    push it out of the limit.
    """
    trusted = attestation_repository.is_trusted(namespace)
    query = (
        select(Attestation, trusted, attestation_repository.key_is_trusted(namespace))
        .where(Attestation.version_id == version_id, Attestation.kind != "yank")
        .order_by(trusted.desc(), Attestation.posted_at.desc(), Attestation.id)
    )
    return session.execute(query.limit(limit)).all()
