"""The command `safegene-registry`.

Exit codes: 0 done, 1 failed, 2 wrong usage; `fsck` and `backup` have more. What a
command is asked for goes to standard output, everything else to standard error.
"""

import sys
from pathlib import Path

import click

from safegene import __version__
from safegene_registry.access_commands import member, namespace, publisher
from safegene_registry.care.commands import backup, fsck, gc, mirror, restore
from safegene_registry.command_line import data_option, read_settings, say
from safegene_registry.events.audit_commands import audit
from safegene_registry.token_commands import token

EXIT_FAILED = 1


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


groups = (token, namespace, member, publisher, audit)
for command in (*groups, gc, fsck, backup, restore, mirror):
    cli.add_command(command)


def main() -> None:
    """Run the command; the outermost edge turns failures into a line and a code."""
    try:
        cli()
    except Exception as error:  # noqa: BLE001 - the edge: report and exit
        say(f"safegene-registry: {reason_of(error)}", err=True)
        sys.exit(EXIT_FAILED)


def reason_of(error: Exception) -> str:
    """What people are told: one sentence, without a number, SQL or parameters."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    # The driver's error inside SQLAlchemy's, whose text has the statement.
    cause = getattr(error, "orig", None) or error
    return str(cause).partition("\n")[0] or type(cause).__name__


if __name__ == "__main__":
    main()
