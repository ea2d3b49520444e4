"""Who may move an alias: whoever publishes, unless owners say otherwise.

A rule names an alias, of one vector or of all in a namespace that have no rule of their
own, and members who may move it beside the owners. It may come before the alias, and
outlives it, so that nobody gets around it by removing the alias first.
"""

from collections import defaultdict

from sqlalchemy.orm import Session

from safegene.artifact.reference import VectorName, check_alias
from safegene_registry import membership
from safegene_registry.access import Role
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.guards import Access
from safegene_registry.lifecycle import alias_repository
from safegene_registry.lifecycle.alias_repository import ALL_VECTORS
from safegene_registry.lifecycle.schemas import (
    AliasRule,
    AliasRuleChange,
    AliasRulePage,
)
from safegene_registry.log import get_logger
from safegene_registry.pages import decode_cursor, encode_cursor
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.services import Services

log = get_logger("safegene_registry.lifecycle.protection")


def check_mover(
    session: Session, access: Access, vector: VectorName, alias: str
) -> None:
    """Refuse who may publish, but not move this alias.

    Raises:
        ProblemError: `forbidden`.
    """
    namespace, caller = vector.namespace, access.caller
    if access.standing.role is Role.OWNER or caller.operates(namespace):
        return
    rules = alias_repository.protecting_rules(session, namespace, vector.name, [alias])
    if alias not in rules:
        return
    if alias_repository.is_mover(
        session, namespace, rules[alias], alias, caller.account_id
    ):
        return
    detail = (
        f"The alias {alias} of {vector} is protected: only owners of {namespace} and"
        f" those whom they name may move it, and {caller.account!r} is none of them."
    )
    raise ProblemError(detail, "forbidden")


def protect(
    services: Services,
    access: Access,
    namespace: str,
    alias: str,
    *,
    vector: str | None,
    wanted: AliasRuleChange,
) -> AliasRule:
    """Say who may move an alias; what was said before about the same is replaced.

    Args:
        services: the process's parts.
        access: who says so.
        namespace: where.
        alias: its name; there need not be one.
        vector: the only one that it is about; None: all that have no rule of their own.
        wanted: who may.

    Raises:
        ProblemError: `invalid-request`: somebody is no member.
        InvalidReferenceError: no alias can be called so.
    """
    check_alias(alias)
    with services.database.writing() as session:
        membership.find_namespace(session, namespace, lock=True)
        members = alias_repository.find_members(session, namespace, wanted.movers)
        strangers = sorted(set(wanted.movers) - members.keys())
        if strangers:
            detail = f"No members of {namespace}: {', '.join(strangers)}."
            fault = Fault("/movers", "not all are members")
            raise ProblemError(detail, "invalid-request", faults=[fault])
        alias_repository.put_rule(
            session, namespace, vector or ALL_VECTORS, alias, members.values()
        )
        record(
            session,
            namespace,
            Kind.ALIAS_PROTECTED,
            by=access.caller,
            vector=vector,
            alias=alias,
            movers=sorted(members),
        )
    log.info(
        "alias_protected",
        namespace=namespace,
        vector=vector,
        alias=alias,
        movers=sorted(members),
        by=str(access.caller.token_id),
    )
    return AliasRule(alias=alias, vector=vector, movers=sorted(members))


def unprotect(
    services: Services, access: Access, namespace: str, alias: str, vector: str | None
) -> None:
    """Let everybody who publishes move an alias again.

    Raises:
        ProblemError: `not-found`: there is no such rule.
    """
    with services.database.writing() as session:
        membership.find_namespace(session, namespace, lock=True)
        known = alias_repository.delete_rule(
            session, namespace, vector or ALL_VECTORS, alias
        )
        if not known:
            of = f"{namespace}/{vector}" if vector else namespace
            detail = f"No rule of {of} protects the alias {alias!r}."
            raise ProblemError(detail, "not-found")
        record(
            session,
            namespace,
            Kind.ALIAS_UNPROTECTED,
            by=access.caller,
            vector=vector,
            alias=alias,
        )
    log.info(
        "alias_unprotected",
        namespace=namespace,
        vector=vector,
        alias=alias,
        by=str(access.caller.token_id),
    )


def list_page(
    services: Services, namespace: str, *, limit: int, cursor: str | None
) -> AliasRulePage:
    """One page of the rules of a namespace, by alias and vector."""
    after = None
    if cursor is not None:
        alias, vector = decode_cursor(cursor, 2)
        after = alias, vector
    with services.database.reading() as session:
        found = alias_repository.list_rules(
            session, namespace, after=after, limit=limit + 1
        )
        page = found[:limit]
        movers: dict[tuple[str, str], list[str]] = defaultdict(list)
        for row in alias_repository.list_movers(
            session, namespace, [rule.alias for rule in page]
        ):
            movers[row.alias, row.vector].append(row.name)
    last = page[-1] if len(found) > limit else None
    return AliasRulePage(
        items=[
            AliasRule(
                alias=rule.alias,
                vector=rule.vector or None,
                movers=movers[rule.alias, rule.vector],
            )
            for rule in page
        ],
        next_cursor=encode_cursor(last.alias, last.vector) if last else None,
    )
