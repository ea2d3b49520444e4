"""Tokens: one's own, and for operators everybody's."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response, status
from sqlalchemy.orm import Session

from safegene_registry import access_repository, token_repository, tokens
from safegene_registry.access_schemas import (
    ACCOUNT_PATTERN,
    AccountDetail,
    AccountPage,
    AccountTokenRequest,
    Caller,
    NamespaceRole,
    NewToken,
    TokenDetail,
    TokenPage,
    TokenRequest,
)
from safegene_registry.guards import Delegator, Operator, TokenHolder
from safegene_registry.models import Account, Token
from safegene_registry.pages import wrong_cursor
from safegene_registry.routes.media import keep_out_of_caches
from safegene_registry.routes.paging import LINKED, Page, PageDep
from safegene_registry.routes.responses import problems
from safegene_registry.services import Services, ServicesDep
from safegene_registry.tokens import WantedToken

router = APIRouter(prefix="/v1", tags=["tokens"])

MAX_ROLES = 1000

AccountPath = Annotated[str, Path(max_length=128, pattern=ACCOUNT_PATTERN)]
EveryParam = Annotated[bool, Query(description="also those that work no longer")]


@router.get("/whoami")
def get_caller(services: ServicesDep, access: TokenHolder) -> Caller:
    """Whose token this is, and what it may be used for."""
    caller = access.caller
    with services.database.reading() as session:
        row = token_repository.get_token(session, caller.token_id)
        if row is None:
            raise tokens.no_token(caller.token_id)
        members = access_repository.roles_of(session, caller.account_id, MAX_ROLES)
        return Caller(
            account=caller.account,
            operator=caller.is_operator,
            token=token_detail(*row),
            roles=[
                NamespaceRole.model_validate(
                    {"namespace": member.namespace, "role": member.role}
                )
                for member in members
                if caller.reaches(member.namespace)
            ],
        )


@router.delete("/tokens/current", status_code=status.HTTP_204_NO_CONTENT)
def revoke_current_token(services: ServicesDep, access: TokenHolder) -> None:
    """End the very token that is sent: a job's last step, or a leak's first aid."""
    caller = access.caller
    with services.database.writing() as session:
        tokens.revoke_token(
            session,
            caller.token_id,
            account=caller.account,
            within=None,
            now=services.now(),
            by=str(caller.token_id),
        )


@router.get("/tokens", responses=LINKED)
def list_tokens(
    services: ServicesDep,
    access: Delegator,
    page: PageDep,
    *,
    every: EveryParam = False,
) -> TokenPage:
    """Tokens of one's own account that work, as far as this one reaches."""
    caller = access.caller
    with services.database.reading() as session:
        return token_page(
            services,
            session,
            page,
            account=caller.account,
            namespace=caller.namespace,
            every=every,
        )


@router.post(
    "/tokens", status_code=status.HTTP_201_CREATED, responses=problems("not-found")
)
def create_token(
    response: Response, services: ServicesDep, access: Delegator, wanted: TokenRequest
) -> NewToken:
    """Make a token of one's own account that opens no more than this one."""
    keep_out_of_caches(response)
    with services.database.writing() as session:
        secret, token, account = tokens.create_own_token(
            session, access.caller, wanted_token(wanted), now=services.now()
        )
        return new_token(secret, token, account)


@router.delete(
    "/tokens/{token_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems("not-found"),
)
def revoke_token(services: ServicesDep, access: Delegator, token_id: UUID) -> None:
    """End a token of one's own account; ending it again is harmless."""
    caller = access.caller
    with services.database.writing() as session:
        tokens.revoke_token(
            session,
            token_id,
            account=caller.account,
            within=caller.namespace,
            now=services.now(),
            by=str(caller.token_id),
        )


@router.get("/accounts", responses=LINKED)
def list_accounts(
    services: ServicesDep, _access: Operator, page: PageDep
) -> AccountPage:
    """Everybody who may act here, CI jobs included."""
    with services.database.reading() as session:
        found = token_repository.list_accounts(
            session, after=page.after, limit=page.probe
        )
        items = [
            AccountDetail(
                name=account.name,
                kind=account.kind,
                operator=account.is_admin,
                created_at=account.created_at,
            )
            for account in found[: page.limit]
        ]
    following = page.next(found, lambda account: account.name)
    return AccountPage(items=items, next_cursor=following)


@router.get("/accounts/{account}/tokens", responses={**LINKED, **problems("not-found")})
def list_account_tokens(
    services: ServicesDep,
    _access: Operator,
    account: AccountPath,
    page: PageDep,
    *,
    every: EveryParam = False,
) -> TokenPage:
    """Tokens of an account."""
    with services.database.reading() as session:
        tokens.find_account(session, account)
        return token_page(
            services, session, page, account=account, namespace=None, every=every
        )


@router.post(
    "/accounts/{account}/tokens",
    status_code=status.HTTP_201_CREATED,
    responses=problems("not-found", "name-taken"),
)
def create_account_token(
    response: Response,
    services: ServicesDep,
    access: Operator,
    account: AccountPath,
    wanted: AccountTokenRequest,
) -> NewToken:
    """Make a token of an account, and the account if there is none."""
    keep_out_of_caches(response)
    by = str(access.caller.token_id)
    with services.database.writing() as session:
        owner = tokens.user_account(session, account, operator=wanted.operator, by=by)
        secret, token = tokens.create_token(
            session, owner, wanted_token(wanted), now=services.now(), by=by
        )
        return new_token(secret, token, owner)


@router.delete(
    "/accounts/{account}/tokens",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems("not-found"),
)
def revoke_account_tokens(
    services: ServicesDep, access: Operator, account: AccountPath
) -> None:
    """End all tokens of an account; ending them again is harmless."""
    with services.database.writing() as session:
        owner = tokens.find_account(session, account)
        tokens.revoke_all(
            session, owner, now=services.now(), by=str(access.caller.token_id)
        )


@router.delete(
    "/accounts/{account}/tokens/{token_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems("not-found"),
)
def revoke_account_token(
    services: ServicesDep, access: Operator, account: AccountPath, token_id: UUID
) -> None:
    """End a token of an account; ending it again is harmless."""
    with services.database.writing() as session:
        tokens.revoke_token(
            session,
            token_id,
            account=account,
            within=None,
            now=services.now(),
            by=str(access.caller.token_id),
        )


def wanted_token(request: TokenRequest) -> WantedToken:
    """What a request asks for."""
    return WantedToken(request.name, request.scope, request.namespace, request.lifetime)


def token_page(
    services: Services,
    session: Session,
    page: Page,
    *,
    account: str,
    namespace: str | None,
    every: bool,
) -> TokenPage:
    """One page of an account's tokens."""
    found = token_repository.list_tokens(
        session,
        account=account,
        namespace=namespace,
        live_at=None if every else services.now(),
        after=after_id(page.after),
        limit=page.probe,
    )
    items = [token_detail(*row) for row in found[: page.limit]]
    following = page.next(found, lambda row: str(row[0].id))
    return TokenPage(items=items, next_cursor=following)


def after_id(text: str | None) -> UUID | None:
    """The id after which a page starts."""
    try:
        return None if text is None else UUID(text)
    except ValueError as error:
        raise wrong_cursor() from error


def token_detail(token: Token, account: Account) -> TokenDetail:
    """A token as the interface shows it."""
    return TokenDetail.model_validate(token_members(token, account))


def new_token(secret: str, token: Token, account: Account) -> NewToken:
    """A new token as the interface shows it, once."""
    return NewToken.model_validate({**token_members(token, account), "token": secret})


def token_members(token: Token, account: Account) -> dict[str, object]:
    """What there is to show of a token."""
    names = ("id", "name", "scope", "namespace", "created_at", "expires_at")
    later = ("revoked_at", "last_used_at")
    shown = {name: getattr(token, name) for name in (*names, *later)}
    return {**shown, "account": account.name}
