"""Aliases of vectors, and who may move them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response, status

from safegene.artifact.reference import PART_PATTERN
from safegene_registry.conditional import tagged_response
from safegene_registry.guards import (
    Manager,
    NamespacePath,
    NamespaceReader,
    Publisher,
)
from safegene_registry.lifecycle import aliases, protection
from safegene_registry.lifecycle.schemas import (
    AliasChange,
    AliasDetail,
    AliasMovePage,
    AliasPage,
    AliasRule,
    AliasRuleChange,
    AliasRulePage,
)
from safegene_registry.promotion.schemas import Verdict
from safegene_registry.routes.paging import LINKED, PageDep
from safegene_registry.routes.responses import TAGGED, problems
from safegene_registry.routes.vectors import VectorDep
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1", tags=["aliases"])

ALIASES = "/vectors/{namespace}/{name}/aliases"
RULES = "/namespaces/{namespace}/protected-aliases"

AliasPath = Annotated[str, Path(max_length=64)]
OfVector = Annotated[
    str | None,
    Query(
        max_length=64,
        pattern=rf"^{PART_PATTERN}$",
        description="only of this vector; else of all that have no rule of their own",
    ),
]


@router.get(ALIASES, responses={**LINKED, **problems("not-found")})
def list_aliases(
    services: ServicesDep, _access: NamespaceReader, vector: VectorDep, page: PageDep
) -> AliasPage:
    """The aliases of a vector by name; `latest`, which every one has, is not listed."""
    found = aliases.list_page(services, vector, limit=page.limit, cursor=page.cursor)
    page.link(found.next_cursor)
    return found


@router.get(
    ALIASES + "/{alias}",
    response_model=AliasDetail,
    responses={**TAGGED, **problems("not-found")},
)
def get_alias(
    request: Request,
    services: ServicesDep,
    access: NamespaceReader,
    vector: VectorDep,
    alias: AliasPath,
) -> Response:
    """One alias, and the version that it points at."""
    found = aliases.find(services, vector, alias)
    return tagged_response(request, found, is_public=access.is_public)


@router.put(
    ALIASES + "/{alias}",
    responses=problems(
        *("not-found", "version-yanked", "version-purged"),
        *("alias-changed", "promotion-refused", "forbidden"),
    ),
)
def move_alias(
    services: ServicesDep,
    access: Publisher,
    vector: VectorDep,
    alias: AliasPath,
    wanted: AliasChange,
) -> AliasDetail:
    """Have an alias point at a version, if it points where it is expected to."""
    return aliases.move(services, access, vector, alias, wanted)


@router.post(
    ALIASES + "/{alias}/check",
    responses=problems(
        *("not-found", "version-yanked", "version-purged"),
        *("alias-changed", "forbidden"),
    ),
)
def check_alias_move(
    services: ServicesDep,
    access: Publisher,
    vector: VectorDep,
    alias: AliasPath,
    wanted: AliasChange,
) -> Verdict:
    """What the namespace's policy would say of a move; nothing is changed."""
    return aliases.check(services, access, vector, alias, wanted)


@router.delete(
    ALIASES + "/{alias}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems("not-found", "alias-changed", "forbidden"),
)
def remove_alias(
    services: ServicesDep,
    access: Publisher,
    vector: VectorDep,
    alias: AliasPath,
    expected: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
) -> None:
    """Forget an alias, if it points at the expected version; its history stays."""
    aliases.remove(services, access, vector, alias, expected)


@router.get(ALIASES + "/{alias}/history", responses={**LINKED, **problems("not-found")})
def list_moves(
    services: ServicesDep,
    access: NamespaceReader,
    vector: VectorDep,
    alias: AliasPath,
    page: PageDep,
) -> AliasMovePage:
    """What an alias pointed at, also one that was removed; the last move first."""
    found = aliases.history(
        services, access, vector, alias, limit=page.limit, cursor=page.cursor
    )
    page.link(found.next_cursor)
    return found


@router.get(RULES, responses=LINKED)
def list_protected_aliases(
    services: ServicesDep, _access: Manager, namespace: NamespacePath, page: PageDep
) -> AliasRulePage:
    """Which aliases not everybody may move who publishes."""
    found = protection.list_page(
        services, namespace, limit=page.limit, cursor=page.cursor
    )
    page.link(found.next_cursor)
    return found


@router.put(RULES + "/{alias}")
def protect_alias(
    *,
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    alias: AliasPath,
    vector: OfVector = None,
    wanted: AliasRuleChange,
) -> AliasRule:
    """Let only owners move an alias, and the members named here."""
    return protection.protect(
        services, access, namespace, alias, vector=vector, wanted=wanted
    )


@router.delete(RULES + "/{alias}", status_code=status.HTTP_204_NO_CONTENT)
def unprotect_alias(
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    alias: AliasPath,
    vector: OfVector = None,
) -> None:
    """Let everybody who publishes move an alias again."""
    protection.unprotect(services, access, namespace, alias, vector)
