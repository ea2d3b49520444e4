"""Elements of a page, escaped by construction.

Text that is not `Markup` is escaped wherever it is put, so no name or reason from
outside can become markup.
"""

from html import escape


class Markup(str):
    """Text that is already markup and is not escaped again."""

    __slots__ = ()


def element(name: str, *content: str, **attributes: str | float | None) -> Markup:
    """Write one element.

    Args:
        name: tag name.
        content: children; plain text is escaped.
        attributes: by name, a trailing underscore dropped and others turned into
            dashes; None leaves the attribute out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(*content)}</{name}>")


def join(*content: str) -> Markup:
    """Put children side by side, escaping plain text."""
    return Markup(
        "".join(
            part if isinstance(part, Markup) else escape(part, quote=False)
            for part in content
        )
    )


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"
