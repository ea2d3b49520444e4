"""Cursors of lists that are sorted by a number."""

from safegene_registry.pages import decode_cursor, wrong_cursor

MAX_NUMBER = 2**31
"""Nothing is numbered higher."""


def number_of(cursor: str) -> int:
    """The number after which a page starts.

    Raises:
        ProblemError: `invalid-request`.
    """
    (text,) = decode_cursor(cursor, 1)
    if not (text.isascii() and text.isdigit() and int(text[:11]) <= MAX_NUMBER):
        raise wrong_cursor()
    return int(text)
