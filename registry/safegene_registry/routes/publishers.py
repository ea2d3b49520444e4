"""Trusted publishers of a namespace, and the exchange that they are for."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response, status

from safegene.artifact.reference import PART_PATTERN
from safegene_registry import access_repository, tokens, trusted_publishing
from safegene_registry.access_schemas import (
    ExchangedToken,
    ExchangeRequest,
    PublisherDetail,
    PublisherPage,
    PublisherRequest,
)
from safegene_registry.addresses import address_key
from safegene_registry.guards import ANYBODY, Manager, NamespacePath, count
from safegene_registry.models import Account, TrustedPublisher
from safegene_registry.routes.media import keep_out_of_caches
from safegene_registry.routes.paging import LINKED, PageDep
from safegene_registry.routes.responses import problems
from safegene_registry.services import ServicesDep
from safegene_registry.trusted_publishing import WantedPublisher

router = APIRouter(prefix="/v1", tags=["trusted publishers"])

PublisherPath = Annotated[str, Path(max_length=64, pattern=rf"^{PART_PATTERN}$")]


@router.get("/namespaces/{namespace}/publishers", responses=LINKED)
def list_publishers(
    services: ServicesDep, _access: Manager, namespace: NamespacePath, page: PageDep
) -> PublisherPage:
    """Which CI jobs are trusted."""
    with services.database.reading() as session:
        found = access_repository.list_publishers(
            session, namespace, after=page.after, limit=page.probe
        )
        items = [
            publisher_detail(publisher, account, member.role)
            for publisher, account, member in found[: page.limit]
        ]
    following = page.next(found, lambda row: row[1].name)
    return PublisherPage(items=items, next_cursor=following)


@router.post(
    "/namespaces/{namespace}/publishers",
    status_code=status.HTTP_201_CREATED,
    responses=problems("name-taken"),
)
def add_publisher(
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    wanted: PublisherRequest,
) -> PublisherDetail:
    """Trust CI jobs: no secret is needed to publish from them."""
    caller = access.caller
    with services.database.writing() as session:
        publisher, account = trusted_publishing.add_publisher(
            services,
            session,
            namespace,
            WantedPublisher(
                wanted.name,
                wanted.issuer,
                wanted.claims,
                wanted.audience,
                wanted.role,
            ),
            created_by=tokens.find_account(session, caller.account),
            by=str(caller.token_id),
        )
        return publisher_detail(publisher, account, wanted.role)


@router.delete(
    "/namespaces/{namespace}/publishers/{publisher}",
    status_code=status.HTTP_204_NO_CONTENT,
)
def remove_publisher(
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    publisher: PublisherPath,
) -> None:
    """Trust them no longer; tokens they still have open nothing from now on."""
    with services.database.writing() as session:
        trusted_publishing.remove_publisher(
            session, namespace, publisher, by=str(access.caller.token_id)
        )


@router.post(
    "/oidc/token",
    dependencies=[ANYBODY],
    responses=problems("identity-rejected", "rate-limited", "issuer-unavailable"),
)
def exchange_jwt(
    request: Request,
    response: Response,
    services: ServicesDep,
    wanted: ExchangeRequest,
) -> ExchangedToken:
    """Exchange a CI job's JWT for a token that lives for minutes.

    The JWT is the credential; a token is not looked at.
    """
    keep_out_of_caches(response)
    address = address_key(request.client.host if request.client else None)
    count(services.exchange_limiter, address)
    found = trusted_publishing.exchange(services, wanted.namespace, wanted.jwt)
    return ExchangedToken.model_validate(
        {
            "token": found.secret,
            "account": found.account,
            "namespace": wanted.namespace,
            "scope": found.token.scope,
            "expires_at": found.token.expires_at,
        }
    )


def publisher_detail(
    publisher: TrustedPublisher, account: Account, role: str
) -> PublisherDetail:
    """A trusted publisher as the interface shows it."""
    return PublisherDetail.model_validate(
        {
            "name": account.name.partition(":")[2],
            "account": account.name,
            "issuer": publisher.issuer,
            "audience": publisher.audience,
            "claims": publisher.claims,
            "role": role,
            "created_at": publisher.created_at,
            "last_used_at": publisher.last_used_at,
        }
    )
