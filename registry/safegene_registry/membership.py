"""Namespaces: who they belong to, who may read them, how much they may hold."""

from sqlalchemy.orm import Session

from safegene.artifact.reference import check_part
from safegene_registry import access_repository
from safegene_registry.access import Role, Visibility
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.lock_repository import lock_quota
from safegene_registry.log import get_logger
from safegene_registry.models import Account, Member, Namespace
from safegene_registry.problems import ProblemError
from safegene_registry.tokens import find_account, no_account

log = get_logger("safegene_registry.membership")


def create_namespace(
    session: Session,
    name: str,
    *,
    owner: Account,
    visibility: Visibility,
    quota_bytes: int | None,
    by: str,
) -> Namespace:
    """Make a namespace.

    Args:
        session: of the transaction.
        name: of the namespace.
        owner: its first member.
        visibility: who may read it.
        quota_bytes: most that its versions may add up to; None: no limit.
        by: who makes it: the id of a token, or how it is made without one.

    Raises:
        ProblemError: `name-taken`. With it, somebody who may make namespaces can find
            out that a private one is called so; names are unique, so there is no way
            around that but to let only operators make them.
        InvalidReferenceError: the name is malformed.
    """
    check_part(name, "namespace")
    if not access_repository.add_namespace(session, name, visibility, quota_bytes):
        detail = f"There is a namespace {name} already."
        raise ProblemError(detail, "name-taken")
    access_repository.add_member(
        session, Member(namespace=name, account_id=owner.id, role=Role.OWNER)
    )
    record(
        session,
        name,
        Kind.NAMESPACE_CREATED,
        by=by,
        owner=owner.name,
        visibility=visibility,
        quota_bytes=quota_bytes,
    )
    log.info(
        "namespace_created",
        namespace=name,
        visibility=visibility,
        quota_bytes=quota_bytes,
        owner=owner.name,
        by=by,
    )
    return find_namespace(session, name)


def find_namespace(session: Session, name: str, *, lock: bool = False) -> Namespace:
    """The namespace, or `not-found`; `lock` keeps others who lock it out."""
    namespace = access_repository.find_namespace(session, name, lock=lock)
    if namespace is None:
        detail = f"There is no namespace {name}."
        raise ProblemError(detail, "not-found")
    return namespace


def set_visibility(
    session: Session, name: str, visibility: Visibility, *, by: str
) -> Namespace:
    """Let everybody read a namespace from now on, or only its members."""
    namespace = find_namespace(session, name, lock=True)
    if namespace.visibility != visibility:
        record(
            session,
            name,
            Kind.VISIBILITY_CHANGED,
            by=by,
            visibility=visibility,
            before=namespace.visibility,
        )
    access_repository.set_visibility(session, namespace, visibility)
    log.info("namespace_changed", namespace=name, visibility=visibility, by=by)
    return namespace


def set_quota(
    session: Session, name: str, quota_bytes: int | None, *, by: str
) -> Namespace:
    """Change the most that a namespace's versions may add up to.

    Below what it holds already, nothing more is taken and nothing goes away.
    """
    namespace = find_namespace(session, name, lock=True)
    if namespace.quota_bytes != quota_bytes:
        record(
            session,
            name,
            Kind.QUOTA_CHANGED,
            by=by,
            quota_bytes=quota_bytes,
            before=namespace.quota_bytes,
        )
    access_repository.set_quota(session, namespace, quota_bytes)
    log.info("quota_changed", namespace=name, quota_bytes=quota_bytes, by=by)
    return namespace


def check_quota(
    session: Session, name: str, wanted_bytes: int, reserved_bytes: int, limit: int
) -> None:
    """Make sure that a namespace has room for another version.

    The caller keeps others who check out until the transaction ends: `lock_quota`.

    Args:
        session: of the transaction.
        name: of the namespace.
        wanted_bytes: size of the version.
        reserved_bytes: what is kept for others.
        limit: most that versions may add up to.

    Raises:
        ProblemError: `quota-exceeded`.
    """
    used = access_repository.used_bytes(session, name)
    if used + reserved_bytes + wanted_bytes <= limit:
        return
    kept = (
        f", and {reserved_bytes} more are kept for uploads that are under way"
        if reserved_bytes
        else ""
    )
    detail = (
        f"The namespace {name} holds {used} of at most {limit} bytes{kept}; this"
        f" version has {wanted_bytes} more."
    )
    members = {
        "used_bytes": used,
        "reserved_bytes": reserved_bytes,
        "limit_bytes": limit,
        "wanted_bytes": wanted_bytes,
    }
    raise ProblemError(detail, "quota-exceeded", members=members)


def quota_of(session: Session, name: str, *, default: int | None) -> int | None:
    """Most that a namespace's versions may add up to; None: there is no limit.

    Where there is one, others who ask this are kept out until the transaction ends.

    Args:
        session: of the transaction.
        name: of the namespace.
        default: the limit if the namespace is still to be made.
    """
    namespace = access_repository.find_namespace(session, name)
    limit = default if namespace is None else namespace.quota_bytes
    if limit is not None:
        lock_quota(session, name)
    return limit


def set_member(
    session: Session, name: str, account_name: str, role: Role, *, by: str
) -> Account:
    """Make an account a member, or give a member another role.

    Raises:
        ProblemError: `not-found`: there is no such account; `owner-required`;
            `forbidden`: a CI job would become an owner.
    """
    find_namespace(session, name, lock=True)
    account = find_account(session, account_name)
    member = access_repository.find_member(session, name, account.id)
    if account.kind != "user" and member is None:
        # It belongs to one namespace, and is none of the others' business.
        raise no_account(account_name)
    if account.kind != "user" and role is Role.OWNER:
        detail = f"{account.name} stands for CI jobs, which cannot own a namespace."
        raise ProblemError(detail, "forbidden")
    before = None if member is None else member.role
    if before != role:
        record(
            session,
            name,
            Kind.MEMBER_SET,
            by=by,
            account=account.name,
            role=role,
            before=before,
        )
    if member is None:
        access_repository.add_member(
            session, Member(namespace=name, account_id=account.id, role=role)
        )
    else:
        if role is not Role.OWNER:
            check_not_last(session, member)
        access_repository.set_role(session, member, role)
    log.info("member_set", namespace=name, account=account.name, role=role, by=by)
    return account


def remove_member(session: Session, name: str, account_name: str, *, by: str) -> None:
    """End a membership, and with it all that the account's tokens could do there.

    Raises:
        ProblemError: `not-found` or `owner-required`.
    """
    find_namespace(session, name, lock=True)
    account = find_account(session, account_name)
    member = access_repository.find_member(session, name, account.id)
    if member is None:
        detail = f"The account {account_name!r} is no member of {name}."
        raise ProblemError(detail, "not-found")
    check_not_last(session, member)
    access_repository.delete_member(session, name, account.id)
    record(
        session,
        name,
        Kind.MEMBER_REMOVED,
        by=by,
        account=account.name,
        before=member.role,
    )
    log.info("member_removed", namespace=name, account=account.name, by=by)


def check_not_last(session: Session, member: Member) -> None:
    """Refuse to leave a namespace without an owner."""
    if member.role != Role.OWNER:
        return
    if access_repository.count_owners(session, member.namespace) == 1:
        detail = (
            f"This is the last owner of {member.namespace}; make another one first."
        )
        raise ProblemError(detail, "owner-required")
