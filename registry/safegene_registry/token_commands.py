"""The commands `token create`, `token list` and `token revoke`."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import click

from safegene_registry.access import Scope
from safegene_registry.command_line import (
    BY,
    MANY,
    check_text,
    data_option,
    reading,
    say,
    table,
    told,
    writing,
)

MAX_DAYS = 3650
"""As over HTTP."""


@click.group()
def token() -> None:
    """Make, list and end tokens."""


@token.command("create")
@data_option
@click.option("--name", required=True, help="What to call it, for people.")
@click.option(
    "--account", default=None, help="Whom it lets in; made if new.  [default: NAME]"
)
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    default=Scope.PUBLISH.value,
    show_default=True,
    help="Most that it may be used for.",
)
@click.option("--namespace", default=None, help="The only namespace that it opens.")
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    default=None,
    help=f"Days until it expires, {MAX_DAYS} at most.  [default: until it is revoked]",
)
@click.option(
    "--operator",
    is_flag=True,
    help="Let the account do everything, with tokens of scope admin.",
)
def create_token(
    data: Path | None,
    *,
    name: str,
    account: str | None,
    scope: str,
    namespace: str | None,
    days: int | None,
    operator: bool,
) -> None:
    """Make a token and print it, once and alone, on standard output."""
    from safegene_registry import tokens

    check_text("--name", name, account=False)
    whose = "--name, which without --account names the account as well"
    check_text("--account" if account else whose, account or name, account=True)
    with writing(data, make=True) as (services, session):
        owner = tokens.user_account(session, account or name, operator=operator, by=BY)
        lifetime = None if days is None else timedelta(days=days)
        wanted = tokens.WantedToken(name, Scope(scope), namespace, lifetime)
        secret, _ = tokens.create_token(
            session, owner, wanted, now=services.now(), by=BY
        )
    say(secret)


@token.command("list")
@data_option
@click.option("--account", default=None, help="Only those of this account.")
@click.option("--all", "every", is_flag=True, help="Also those that work no longer.")
def list_tokens(data: Path | None, account: str | None, *, every: bool) -> None:
    """List tokens: one a line, columns separated by tabs, never a secret."""
    from safegene_registry import token_repository, tokens

    with reading(data) as (services, session):
        if account is not None:
            tokens.find_account(session, account)
        found = token_repository.list_tokens(
            session,
            account=account,
            namespace=None,
            live_at=None if every else services.now(),
            after=None,
            limit=MANY,
        )
        rows = sorted(
            (
                (
                    told(row.created_at),
                    *(row.id, owner.name, row.name, row.scope, row.namespace),
                    *(told(row.expires_at), told(row.revoked_at)),
                    told(row.last_used_at),
                )
                for row, owner in found
            ),
            key=lambda row: row[0],
        )
    names = ("created", "id", "account", "name", "scope", "namespace")
    table((*names, "expires", "revoked", "last used"), rows)


@token.command("revoke")
@data_option
@click.argument("token_id", metavar="[ID]", type=click.UUID, required=False)
@click.option("--account", default=None, help="End all tokens of this account.")
def revoke_token(data: Path | None, token_id: UUID | None, account: str | None) -> None:
    """End a token, or all tokens of an account, from the next request on."""
    from safegene_registry import tokens

    if (token_id is None) == (account is None):
        message = "name one token by its ID, or all of an account with --account"
        raise click.UsageError(message)
    with writing(data) as (services, session):
        now = services.now()
        if account is not None:
            owner = tokens.find_account(session, account)
            count = tokens.revoke_all(session, owner, now=now, by=BY)
        elif token_id is not None:
            tokens.revoke_token(
                session, token_id, account=None, within=None, now=now, by=BY
            )
            count = 1
    say(f"Revoked {count}.", err=True)
