"""What the commands share: where the registry is, and how they speak."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from safegene_registry.services import Services
    from safegene_registry.settings import Settings

BY = "command line"
"""Who did it, in the log; and the account that answers for trusted publishers."""

MANY = 100_000
"""Rows that a list shows at most."""

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Directory of the registry.  [default: ./safegene-registry-data]",
)


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


@contextmanager
def reading(data: Path | None) -> Iterator[tuple["Services", "Session"]]:
    """One snapshot of the registry's database, which is migrated if embedded."""
    with opened(data) as services, services.database.reading() as session:
        yield services, session


@contextmanager
def writing(data: Path | None) -> Iterator[tuple["Services", "Session"]]:
    """One write transaction on it."""
    with opened(data) as services, services.database.writing() as session:
        yield services, session


@contextmanager
def opened(data: Path | None) -> Iterator["Services"]:
    """The parts of the registry that the settings describe."""
    from safegene_registry import server
    from safegene_registry.log import configure_logging
    from safegene_registry.services import open_services

    settings = read_settings(data)
    configure_logging(settings.log_format, settings.log_level)
    server.prepare_data(settings).dispose()
    services = open_services(settings)
    try:
        yield services
    finally:
        services.database.dispose()


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their names."""
    for row in (names, *rows):
        say("\t".join("" if cell is None else str(cell) for cell in row))


def told(at: datetime | None) -> str:
    """A time for people and for sorting."""
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="seconds")
