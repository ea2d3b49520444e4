"""The table of settings in the operator's guide, made from the settings themselves."""

from datetime import timedelta
from enum import Enum
from typing import Any

from pydantic import TypeAdapter

from safegene_registry.settings import Settings

BEGIN = "<!-- settings: made by tests/unit/registry/freeze_settings.py -->"
END = "<!-- end of settings -->"


def settings_table() -> str:
    """Every setting with its default and its meaning, as Markdown."""
    rows = [
        f"| `{name.upper()}` | {default_text(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(("| variable | default | meaning |", "|---|---|---|", *rows))


def default_text(default: Any) -> str:
    """A default, spelled as the environment would spell it."""
    match default:
        case None | "" | ():
            return ""
        case timedelta():
            spelled = TypeAdapter(timedelta).dump_python(default, mode="json")
            return f"`{spelled}`"
        case bool():
            return f"`{str(default).lower()}`"
        case Enum():
            return f"`{default.value}`"
        case _:
            return f"`{default}`"


def with_table(page: str) -> str:
    """A page with the table in its place.

    Raises:
        ValueError: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        message = f"the page has no lines {BEGIN!r} and {END!r}"
        raise ValueError(message)
    return f"{before}{begin}\n\n{settings_table()}\n\n{end}{after}"
