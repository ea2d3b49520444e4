"""Reads docker-compose.yml, so that the plain processes cannot differ from it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.services.install import ROOT
from scripts.services.processes import ServiceError

FILE = ROOT / "docker-compose.yml"

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:-|:\?)(?P<rest>[^}]*))?\}")


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Put variables in, as Compose does.

    Args:
        text: with `${NAME}`, `${NAME:-default}` or `${NAME:?message}`.
        variables: their values.

    Raises:
        ServiceError: one has no value and no default.
    """

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found["name"], found["kind"], found["rest"]
        given = variables.get(name, "")
        if given:
            return given
        if kind == ":-":
            return rest
        raise ServiceError(f"{FILE.name}: {name} {rest or 'is not set'}")

    return VARIABLE.sub(value, text)


def read_services(
    variables: Mapping[str, str], file: Path = FILE
) -> dict[str, dict[str, Any]]:
    """The services of the file, with variables put in.

    Raises:
        ServiceError: a variable that must be set is not.
    """
    text = file.read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    filled: dict[str, dict[str, Any]] = _fill(services, variables)
    return filled


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    """Put variables into every string of a document."""
    match value:
        case str():
            return interpolate(value, variables)
        case list():
            return [_fill(item, variables) for item in value]
        case dict():
            return {key: _fill(item, variables) for key, item in value.items()}
        case _:
            return value
