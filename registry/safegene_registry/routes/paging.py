"""Parameters of lists."""

from typing import Annotated

from fastapi import Query

from safegene_registry.pages import decode_cursor

LimitParam = Annotated[int, Query(ge=1, le=200)]
CursorParam = Annotated[str | None, Query(max_length=800)]


def after_text(cursor: str | None) -> str | None:
    """The name after which a page starts."""
    return None if cursor is None else decode_cursor(cursor, 1)[0]
