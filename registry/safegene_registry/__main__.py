"""The command `safegene-registry`.

Exit codes: 0 done, 1 failed, 2 wrong usage. What a command is asked for goes to
standard output, everything else to standard error.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safegene import __version__

if TYPE_CHECKING:
    from safegene_registry.settings import Settings

EXIT_FAILED = 1

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Directory of the registry.  [default: ./safegene-registry-data]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="safegene-registry")
def cli() -> None:
    """Publish, find and download safety vectors: the registry server."""


@cli.command()
@data_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen here.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Listen on this port; 0 takes a free one.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help='Write {"url": …} here once requests are answered.',
)
def serve(data: Path | None, host: str, port: int, ready_file: Path | None) -> None:
    """Serve the registry.

    The embedded database is migrated first, and the first time an admin token is made
    and printed once. A PostgreSQL database must have been migrated with `migrate`.
    """
    from safegene_registry import server

    settings = read_settings(data)
    database = server.prepare_data(settings)
    token = server.first_token(database) if database.is_embedded else None
    database.dispose()
    if token is not None:
        say("First admin token, shown only now:", err=True)
        say(token)
    server.serve(settings, host=host, port=port, ready_file=ready_file)


@cli.command()
@data_option
def migrate(data: Path | None) -> None:
    """Bring the database to the newest schema."""
    from safegene_registry import server
    from safegene_registry.migrate import upgrade

    database = server.open_database(read_settings(data))
    upgrade(database)
    database.dispose()
    say(f"{database.place} is up to date.", err=True)


@cli.command()
@data_option
@click.option("--dry-run", is_flag=True, help="Remove nothing, only say what would be.")
def gc(data: Path | None, *, dry_run: bool) -> None:
    """Clear away what nobody needs: expired uploads, blobs that no version names.

    One line each on standard output: what it was, its name, and of a blob its size in
    bytes. The registry may be running meanwhile.
    """
    from safegene_registry import server
    from safegene_registry.log import configure_logging
    from safegene_registry.services import open_services
    from safegene_registry.sweeping import remove_leftovers

    settings = read_settings(data)
    if settings.database_url is None and not settings.database_path.is_file():
        message = f"there is no registry in {settings.data}"
        raise click.UsageError(message)
    configure_logging(settings.log_format, "WARNING")
    server.prepare_data(settings).dispose()
    services = open_services(settings)
    removed = remove_leftovers(services, dry_run=dry_run)
    services.database.dispose()
    for leftover in removed:
        size = f" {leftover.size_bytes}" if leftover.kind == "blob" else ""
        say(f"{leftover.kind} {leftover.name}{size}")
    freed = sum(leftover.size_bytes for leftover in removed)
    verb = "Would remove" if dry_run else "Removed"
    say(f"{verb} {len(removed)} leftovers; their blobs have {freed} bytes.", err=True)


@cli.group()
def token() -> None:
    """Make tokens for those who publish."""


@token.command()
@data_option
@click.option("--name", required=True, help="What to call it, for people.")
@click.option(
    "--scope",
    type=click.Choice(["publish", "admin"]),
    default="publish",
    show_default=True,
    help="What it may do.",
)
def create(data: Path | None, name: str, scope: str) -> None:
    """Make a token and print it, once and alone, on standard output."""
    from safegene_registry import server
    from safegene_registry.auth import Scope, create_token

    settings = read_settings(data)
    database = server.prepare_data(settings)
    with database.writing() as session:
        secret = create_token(session, name=name, scope=Scope(scope))
    database.dispose()
    say(secret)


def read_settings(data: Path | None) -> "Settings":
    """The environment's settings, with what the command line says above them."""
    from pydantic import ValidationError

    from safegene_registry.settings import Settings

    try:
        return Settings() if data is None else Settings(data=data)
    except ValidationError as error:
        # Inputs may be secrets: neither said nor in the traceback of a cause.
        first = error.errors(include_url=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper() or "*"
        secret = name == "*" or "Secret" in str(Settings.model_fields[name.lower()])
        got = "" if secret else f", got {first['input']!r}"
        message = f"SAFEGENE_REGISTRY_{name}: {first['msg']}{got}"
        raise click.UsageError(message) from None


def say(text: str, *, err: bool = False) -> None:
    """Print a line and make sure that it is out, also into a pipe."""
    click.echo(text, err=err)
    (sys.stderr if err else sys.stdout).flush()


def main() -> None:
    """Run the command; the outermost edge turns failures into a line and a code."""
    try:
        cli()
    except Exception as error:  # noqa: BLE001 - the edge: report and exit
        reason = error.strerror if isinstance(error, OSError) else None
        say(f"safegene-registry: {reason or error}", err=True)
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
