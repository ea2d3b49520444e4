"""Aliases: names that move from one version of a vector to another.

Whoever moves one may say what it should point at now, and is refused if somebody else
was faster. Moves lock the vector, as publishing and yanking do, so that no alias is
pointed at a version that was yanked before. What the namespace's policy demands of the
version has to be met. Every move is kept.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from safegene.artifact.reference import VectorName, canonical_version, check_alias
from safegene.errors import InvalidReferenceError
from safegene_registry import catalog
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.guards import Access
from safegene_registry.lifecycle import alias_repository
from safegene_registry.lifecycle.paging import number_of
from safegene_registry.lifecycle.protection import check_mover
from safegene_registry.lifecycle.schemas import (
    AliasChange,
    AliasDetail,
    AliasMoveDetail,
    AliasMovePage,
    AliasPage,
)
from safegene_registry.lock_repository import lock_vector
from safegene_registry.log import get_logger
from safegene_registry.models import Alias, Version
from safegene_registry.pages import decode_cursor, encode_cursor
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.promotion import gate, promotion_repository
from safegene_registry.promotion.schemas import Verdict
from safegene_registry.services import Services

log = get_logger("safegene_registry.lifecycle.aliases")


def move(
    services: Services,
    access: Access,
    vector: VectorName,
    name: str,
    wanted: AliasChange,
) -> AliasDetail:
    """Have an alias point at a version; the same again is a success and no move.

    Args:
        services: the process's parts.
        access: who does.
        vector: whose alias and version it is.
        name: of the alias.
        wanted: the version, and what is expected.

    Raises:
        ProblemError: `not-found`, `version-yanked`, `alias-changed`,
            `promotion-refused`, or `forbidden`: the alias is protected.
        InvalidReferenceError: no alias can be called so.
    """
    check_own(name)
    with services.database.writing() as session:
        lock_vector(session, vector)
        promotion_repository.hold_decisions(session, vector.namespace)
        row = catalog.find_vector(session, vector)
        check_mover(session, access, vector, name)
        version = catalog.find_version(session, vector, wanted.version)
        refuse_yanked(vector, name, version)
        alias = alias_repository.find_alias(session, row.id, name)
        if wanted.is_conditional:
            check_expected(vector, name, alias, wanted.expected)
        before = None if alias is None else alias.version.version
        if before != version.version:
            verdict = gate.check(session, vector, name, version, access.caller)
            gate.refuse_unmet(vector, verdict)
            alias_repository.point_alias(
                session,
                alias,
                version,
                name=name,
                token_id=access.caller.token_id,
                at=services.now(),
            )
            say(session, access, vector, version, alias=name, before=before)
        moved_at = services.now() if alias is None else alias.moved_at
        rules = alias_repository.protecting_rules(
            session, vector.namespace, vector.name, [name]
        )
        found = detail_of(name, version, moved_at, protected=name in rules)
    if before != version.version:
        tell(access, vector, name, before, version.version)
    return found


def check(
    services: Services,
    access: Access,
    vector: VectorName,
    name: str,
    wanted: AliasChange,
) -> Verdict:
    """What the policy would say of a move, which is not made.

    Raises:
        ProblemError: what else would stand in its way, as for `move`.
        InvalidReferenceError: no alias can be called so.
    """
    check_own(name)
    with services.database.reading() as session:
        row = catalog.find_vector(session, vector)
        check_mover(session, access, vector, name)
        version = catalog.find_version(session, vector, wanted.version)
        refuse_yanked(vector, name, version)
        if wanted.is_conditional:
            alias = alias_repository.find_alias(session, row.id, name)
            check_expected(vector, name, alias, wanted.expected)
        return gate.check(session, vector, name, version, access.caller)


def remove(
    services: Services,
    access: Access,
    vector: VectorName,
    name: str,
    expected: str | None,
) -> None:
    """Forget an alias; what it pointed at stays in its history.

    Args:
        services: the process's parts.
        access: who does.
        vector: whose alias it is.
        name: of the alias.
        expected: what it should point at now; None: whatever it does.

    Raises:
        ProblemError: `not-found`, `alias-changed` or `forbidden`.
    """
    check_own(name)
    with services.database.writing() as session:
        lock_vector(session, vector)
        row = catalog.find_vector(session, vector)
        check_mover(session, access, vector, name)
        alias = alias_repository.find_alias(session, row.id, name)
        if alias is None:
            raise no_alias(vector, name)
        if expected is not None:
            check_expected(vector, name, alias, expected)
        before = alias.version.version
        alias_repository.remove_alias(
            session, alias, token_id=access.caller.token_id, at=services.now()
        )
        say(session, access, vector, None, alias=name, before=before)
    tell(access, vector, name, before, None)


def find(services: Services, vector: VectorName, name: str) -> AliasDetail:
    """One alias of a vector.

    Raises:
        ProblemError: `not-found`.
    """
    with services.database.reading() as session:
        row = catalog.find_vector(session, vector)
        alias = alias_repository.find_alias(session, row.id, name)
        if alias is None:
            raise no_alias(vector, name)
        return details(session, vector, [alias])[0]


def list_page(
    services: Services, vector: VectorName, *, limit: int, cursor: str | None
) -> AliasPage:
    """One page of a vector's aliases by name."""
    after = None if cursor is None else decode_cursor(cursor, 1)[0]
    with services.database.reading() as session:
        row = catalog.find_vector(session, vector)
        found = alias_repository.list_aliases(
            session, row.id, after=after, limit=limit + 1
        )
        items = details(session, vector, list(found[:limit]))
    more = len(found) > limit
    return AliasPage(
        items=items,
        next_cursor=encode_cursor(found[limit - 1].name) if more else None,
    )


def history(
    services: Services,
    access: Access,
    vector: VectorName,
    name: str,
    *,
    limit: int,
    cursor: str | None,
) -> AliasMovePage:
    """One page of what an alias pointed at, the last move first.

    An alias that was removed still has one.

    Raises:
        ProblemError: `not-found`: there never was such an alias.
    """
    before = None if cursor is None else number_of(cursor)
    with services.database.reading() as session:
        row = catalog.find_vector(session, vector)
        found = alias_repository.list_moves(
            session, row.id, name, before=before, limit=limit + 1
        )
    if not found and before is None:
        raise no_alias(vector, name)
    items = [
        AliasMoveDetail(
            number=move.number,
            from_version=left,
            to_version=reached,
            at=move.moved_at,
            by=account if access.is_member else None,
        )
        for move, left, reached, account in found[:limit]
    ]
    more = len(found) > limit
    return AliasMovePage(
        items=items,
        next_cursor=encode_cursor(str(items[-1].number)) if more else None,
    )


def details(
    session: Session, vector: VectorName, aliases: list[Alias]
) -> list[AliasDetail]:
    """Aliases of one vector as the interface shows them."""
    rules = alias_repository.protecting_rules(
        session, vector.namespace, vector.name, [alias.name for alias in aliases]
    )
    return [
        detail_of(
            alias.name, alias.version, alias.moved_at, protected=alias.name in rules
        )
        for alias in aliases
    ]


def detail_of(
    name: str, version: Version, moved_at: datetime, *, protected: bool
) -> AliasDetail:
    """An alias as the interface shows it."""
    return AliasDetail(
        alias=name,
        version=version.version,
        digest=version.digest,
        yanked=catalog.yank_of(version),
        protected=protected,
        moved_at=moved_at,
    )


def check_own(name: str) -> None:
    """Refuse what cannot be the name of an alias that is moved.

    Raises:
        InvalidReferenceError: it cannot.
    """
    check_alias(name)
    if name == catalog.LATEST:
        message = f"{name!r} is the newest version of every vector; nobody moves it"
        raise InvalidReferenceError(message)


def refuse_yanked(vector: VectorName, name: str, version: Version) -> None:
    """Refuse to point at what means nothing any more.

    Raises:
        ProblemError: `version-yanked`.
    """
    yanked = catalog.yank_of(version)
    if yanked is not None:
        detail = (
            f"{vector}@{version.version} was yanked ({yanked.reason}), so {name} cannot"
            " point at it; choose another version, or take the yank back first."
        )
        raise ProblemError(detail, "version-yanked")


def check_expected(
    vector: VectorName, name: str, alias: Alias | None, expected: str | None
) -> None:
    """Refuse if an alias points elsewhere than whoever moves it believes.

    Args:
        vector: whose alias it is.
        name: of the alias.
        alias: as it is; None: there is none.
        expected: the version in any spelling; None: there is none.

    Raises:
        ProblemError: `alias-changed`.
    """
    actual = None if alias is None else alias.version.version
    wanted = None if expected is None else canonical_version(expected)
    if actual == wanted:
        return
    there = "does not exist" if actual is None else f"points at {actual}"
    asked = "not to exist" if wanted is None else f"to point at {wanted}"
    detail = (
        f"The alias {name} of {vector} {there}; it was expected {asked}. Nothing was"
        " changed."
    )
    fault = Fault("/expected", f"is {actual or 'no alias'}")
    raise ProblemError(detail, "alias-changed", faults=[fault])


def no_alias(vector: VectorName, name: str) -> ProblemError:
    """The problem."""
    return catalog.not_found(f"{vector} has no alias {name!r}.")


def say(
    session: Session,
    access: Access,
    vector: VectorName,
    version: Version | None,
    *,
    alias: str,
    before: str | None,
) -> None:
    """Make a move an event; no version: the alias was removed."""
    if version is None:
        record(
            session,
            vector.namespace,
            Kind.ALIAS_REMOVED,
            by=access.caller,
            vector=vector.name,
            version=before,
            alias=alias,
            before=before,
        )
        return
    record(
        session,
        vector.namespace,
        Kind.ALIAS_MOVED,
        by=access.caller,
        vector=vector.name,
        version=version.version,
        alias=alias,
        before=before,
        digest=version.digest,
    )


def tell(
    access: Access, vector: VectorName, name: str, before: str | None, after: str | None
) -> None:
    """Write a move into the log."""
    log.info(
        "alias_moved",
        vector=str(vector),
        alias=name,
        from_version=before,
        to_version=after,
        principal_id=str(access.caller.token_id),
    )
