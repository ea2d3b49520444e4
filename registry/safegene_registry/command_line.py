"""What the commands share: where the registry is, and how they speak."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from safegene_registry.services import Services
    from safegene_registry.settings import Settings

BY = "command line"
"""Who did it, in the log; and the account that answers for trusted publishers."""

MAX_NAME = 128

MANY = 100_000
"""Rows that a list shows at most."""

PREFIX = "SAFEGENE_REGISTRY_"
ALIKE = 0.8
"""How much of a name has to be a setting's to be taken for a slip."""

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

    check_names(os.environ, [name.upper() for name in Settings.model_fields])
    try:
        return Settings() if data is None else Settings(data=data)
    except ValidationError as error:
        # Inputs may be secrets: neither said nor in the traceback of a cause.
        first = error.errors(include_url=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper() or "*"
        secret = name == "*" or "Secret" in str(Settings.model_fields[name.lower()])
        got = "" if secret else f", got {first['input']!r}"
        message = f"{PREFIX}{name}: {first['msg'].removeprefix('Value error, ')}{got}"
        raise click.UsageError(message) from None


def check_names(variables: Iterable[str], known: Sequence[str]) -> None:
    """Refuse a variable that is nearly a setting: it must not go unheard.

    Others may begin the same way: Kubernetes sets `SAFEGENE_REGISTRY_SERVICE_HOST` and
    more for a service of that name.

    Args:
        variables: names of the environment's.
        known: names of the settings, without what they begin with.
    """
    for variable in variables:
        name = variable.upper().removeprefix(PREFIX)
        if name in known or not variable.upper().startswith(PREFIX):
            continue
        meant = get_close_matches(name, known, n=1, cutoff=ALIKE)
        if meant:
            message = f"{variable} is no setting; is {PREFIX}{meant[0]} meant?"
            raise click.UsageError(message)


def say(text: str, *, err: bool = False) -> None:
    """Print a line and make sure that it is out, also into a pipe."""
    click.echo(text, err=err)
    (sys.stderr if err else sys.stdout).flush()


def existing_registry(data: Path | None) -> "Settings":
    """The settings of a registry that is there: a slip must not make another one."""
    settings = read_settings(data)
    if settings.database_url is None and not settings.database_path.is_file():
        message = (
            f"there is no registry in {settings.data}; --data or SAFEGENE_REGISTRY_DATA"
            " says where it is, `safegene-registry serve` or `token create` makes one"
        )
        raise click.UsageError(message)
    return settings


def check_text(option: str, text: str, *, account: bool) -> None:
    """Refuse names that the service would not take either.

    Args:
        option: of the command line, for the message.
        text: what was given.
        account: whether it names an account, not just a token.
    """
    from safegene_registry import access_schemas

    label, name = access_schemas.LABEL_PATTERN, access_schemas.ACCOUNT_PATTERN
    if len(text) <= MAX_NAME and re.fullmatch(name if account else label, text):
        return
    expected = (
        "letters, digits, spaces and . _ @ + -, beginning with a letter or digit"
        if account
        else "printable ASCII"
    )
    message = f"{option}: expected 1 to {MAX_NAME} of {expected}, got {text!r}"
    raise click.UsageError(message)


@contextmanager
def reading(data: Path | None) -> Iterator[tuple["Services", "Session"]]:
    """One snapshot of the registry's database, which is migrated if embedded."""
    parts = opened(data, make=False)
    with parts as services, services.database.reading() as session:
        yield services, session


@contextmanager
def writing(
    data: Path | None, *, make: bool = False
) -> Iterator[tuple["Services", "Session"]]:
    """One write transaction on it; `make` makes an embedded registry first."""
    parts = opened(data, make=make)
    with parts as services, services.database.writing() as session:
        yield services, session


@contextmanager
def opened(
    data: Path | None, *, make: bool, log_level: str | None = None
) -> Iterator["Services"]:
    """The parts of the registry that the settings describe.

    Args:
        data: its directory; None: as the environment says.
        make: whether an embedded one is made that is not there.
        log_level: least severe log record that is written; None: as the settings say.
    """
    from safegene_registry import server
    from safegene_registry.log import configure_logging
    from safegene_registry.services import open_services

    settings = read_settings(data) if make else existing_registry(data)
    if settings.database_url is None and not settings.database_path.is_file():
        say(f"There was no registry in {settings.data}; it is made now.", err=True)
    configure_logging(settings.log_format, log_level or settings.log_level)
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
