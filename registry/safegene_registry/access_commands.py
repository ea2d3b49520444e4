"""The commands `namespace`, `member` and `publisher`.

They speak to the database, not to the service: whoever can read the registry's data
may do everything. Owners without a shell there have the same over HTTP.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from safegene_registry.access import Role, Visibility
from safegene_registry.command_line import (
    BY,
    MANY,
    data_option,
    reading,
    table,
    told,
    writing,
)

quota_option = click.option(
    "--quota",
    type=click.IntRange(0, 2**62),
    default=None,
    help="Most bytes that its versions may add up to.",
)
namespace_argument = click.argument("namespace")


@click.group()
def namespace() -> None:
    """Make namespaces, and say who may read them and how full they may get."""


@namespace.command("create")
@data_option
@namespace_argument
@click.option("--owner", required=True, help="Account that owns it.")
@click.option("--private", is_flag=True, help="Only members may read it.")
@quota_option
def create_namespace(
    data: Path | None, namespace: str, owner: str, quota: int | None, *, private: bool
) -> None:
    """Make a namespace before anything is published into it."""
    from safegene_registry import membership, tokens

    with writing(data) as (services, session):
        membership.create_namespace(
            session,
            namespace,
            owner=tokens.find_account(session, owner),
            visibility=Visibility.PRIVATE if private else Visibility.PUBLIC,
            quota_bytes=(
                services.settings.namespace_quota_bytes if quota is None else quota
            ),
            by=BY,
        )


@namespace.command("list")
@data_option
def list_namespaces(data: Path | None) -> None:
    """List namespaces: one a line, columns separated by tabs."""
    from safegene_registry import access_repository
    from safegene_registry.access import Reader

    with reading(data) as (_services, session):
        found = access_repository.list_namespaces(
            session, Reader(sees_all=True), after=None, limit=MANY
        )
        used = access_repository.used_by_namespace(session)
        rows = [
            (row.name, row.visibility, used.get(row.name, 0), row.quota_bytes)
            for row in found
        ]
    table(("namespace", "visibility", "used bytes", "quota bytes"), rows)


@namespace.command("set")
@data_option
@namespace_argument
@click.option(
    "--visibility",
    type=click.Choice([visibility.value for visibility in Visibility]),
    default=None,
    help="Who may read it: everybody, or its members.",
)
@quota_option
@click.option("--no-quota", is_flag=True, help="Let it grow without limit.")
def set_namespace(
    data: Path | None,
    namespace: str,
    visibility: str | None,
    quota: int | None,
    *,
    no_quota: bool,
) -> None:
    """Change a namespace."""
    from safegene_registry import membership

    if visibility is None and quota is None and not no_quota:
        message = "nothing to change: give --visibility, --quota or --no-quota"
        raise click.UsageError(message)
    if quota is not None and no_quota:
        message = "--quota and --no-quota exclude each other"
        raise click.UsageError(message)
    with writing(data) as (_services, session):
        if visibility is not None:
            membership.set_visibility(session, namespace, Visibility(visibility), by=BY)
        if quota is not None or no_quota:
            membership.set_quota(session, namespace, quota, by=BY)


@click.group()
def member() -> None:
    """Say who may do what in a namespace."""


@member.command("add")
@data_option
@namespace_argument
@click.argument("account")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="What they may do: read what is private, publish, decide about members.",
)
def add_member(data: Path | None, namespace: str, account: str, role: str) -> None:
    """Make an account a member, or give a member another role."""
    from safegene_registry import membership

    with writing(data) as (_services, session):
        membership.set_member(session, namespace, account, Role(role), by=BY)


@member.command("list")
@data_option
@namespace_argument
def list_members(data: Path | None, namespace: str) -> None:
    """List members: one a line, columns separated by tabs."""
    from safegene_registry import access_repository, membership

    with reading(data) as (_services, session):
        membership.find_namespace(session, namespace)
        found = access_repository.list_members(
            session, namespace, after=None, limit=MANY
        )
        rows = [(account.name, account.kind, row.role) for row, account in found]
    table(("account", "kind", "role"), rows)


@member.command("remove")
@data_option
@namespace_argument
@click.argument("account")
def remove_member(data: Path | None, namespace: str, account: str) -> None:
    """End a membership: all tokens of the account are strangers there at once."""
    from safegene_registry import membership

    with writing(data) as (_services, session):
        membership.remove_member(session, namespace, account, by=BY)


@click.group()
def publisher() -> None:
    """Trust CI jobs, so that they publish without a secret."""


@publisher.command("add")
@data_option
@namespace_argument
@click.argument("name")
@click.option("--issuer", required=True, help="`iss` of their JWTs.")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    required=True,
    metavar="NAME=VALUE",
    help="A claim that their JWTs must have, with this very value; repeatable.",
)
@click.option("--audience", default=None, help="`aud`, if not that of the settings.")
@click.option(
    "--role",
    type=click.Choice([Role.READER.value, Role.PUBLISHER.value]),
    default=Role.PUBLISHER.value,
    show_default=True,
    help="What they may do.",
)
def add_publisher(
    data: Path | None,
    *,
    namespace: str,
    name: str,
    issuer: str,
    claims: tuple[str, ...],
    audience: str | None,
    role: str,
) -> None:
    """Trust the CI jobs that an issuer describes with these claims."""
    from safegene_registry import token_repository, trusted_publishing

    wanted = trusted_publishing.WantedPublisher(
        name, issuer, parsed_claims(claims), audience, Role(role)
    )
    with writing(data) as (services, session):
        trusted_publishing.add_publisher(
            services,
            session,
            namespace,
            wanted,
            created_by=token_repository.named_account(session, BY),
            by=BY,
        )


@publisher.command("list")
@data_option
@namespace_argument
def list_publishers(data: Path | None, namespace: str) -> None:
    """List trusted publishers: one a line, columns separated by tabs."""
    from safegene_registry import access_repository, membership

    with reading(data) as (_services, session):
        membership.find_namespace(session, namespace)
        found = access_repository.list_publishers(
            session, namespace, after=None, limit=MANY
        )
        rows = [
            (
                account.name.partition(":")[2],
                *(row.issuer, row.audience),
                " ".join(f"{key}={value}" for key, value in row.claims.items()),
                *(membership_row.role, told(row.last_used_at)),
            )
            for row, account, membership_row in found
        ]
    table(("name", "issuer", "audience", "claims", "role", "last used"), rows)


@publisher.command("remove")
@data_option
@namespace_argument
@click.argument("name")
def remove_publisher(data: Path | None, namespace: str, name: str) -> None:
    """Trust them no longer; tokens they still have open nothing at once."""
    from safegene_registry import trusted_publishing

    with writing(data) as (_services, session):
        trusted_publishing.remove_publisher(session, namespace, name, by=BY)


def parsed_claims(claims: Sequence[str]) -> dict[str, str | int | bool]:
    """Claims as the command line spells them; all of them text."""
    found: dict[str, str | int | bool] = {}
    for claim in claims:
        name, mark, value = claim.partition("=")
        if not (name and mark and value):
            message = f"--claim: expected NAME=VALUE, got {claim!r}"
            raise click.UsageError(message)
        found[name] = value
    return found
