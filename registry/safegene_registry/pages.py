"""Pages of lists: cursors say after which entry the next page starts.

They hold the last entry's key and nothing else, so that a page costs the same wherever
it lies and entries that come or go meanwhile move nobody else's.
"""

import base64
import binascii
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from safegene.artifact.configsizes import MAX_WIDTH
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.walk_repository import START, Place

MAX_SKIPPED = 999
MIN_YEAR = 2000
"""Nothing was published before."""


def encode_cursor(*key: str) -> str:
    """The cursor behind an entry.

    Args:
        key: what the list is sorted by, of that entry.
    """
    text = json.dumps(key)
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode_cursor(cursor: str, parts: int) -> list[str]:
    """The key after which the page starts.

    Args:
        cursor: as it was given out.
        parts: how many parts the keys of this list have.

    Raises:
        ProblemError: `invalid-request`.
    """
    try:
        text = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        key = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        key = None
    if (
        isinstance(key, list)
        and len(key) == parts
        # JSON can spell half a character, and marks that no database takes.
        and all(isinstance(part, str) and part.isprintable() for part in key)
    ):
        return key
    raise wrong_cursor()


def decode_time_cursor(cursor: str) -> tuple[datetime, UUID]:
    """The time and the id after which a page starts, of a list sorted by those.

    Raises:
        ProblemError: `invalid-request`.
    """
    return time_key(decode_cursor(cursor, 2))


def time_key(parts: list[str]) -> tuple[datetime, UUID]:
    """The same of the parts of a key.

    Raises:
        ProblemError: `invalid-request`.
    """
    time, key = parts
    try:
        at = datetime.fromisoformat(time)
        # A database may not take what lies beyond its calendar, or has no zone.
        if at.tzinfo is not None and at.year > MIN_YEAR:
            return at.astimezone(UTC), UUID(key)
    except (ValueError, OverflowError):
        pass
    raise wrong_cursor()


def name_key(parts: list[str]) -> tuple[str, str]:
    """A vector's name, of a list sorted by that."""
    namespace, name = parts
    return namespace, name


def j_key(parts: list[str]) -> tuple[float, str, str]:
    """What vectors are ranked by.

    Raises:
        ProblemError: `invalid-request`.
    """
    j, namespace, name = parts
    try:
        low = float(j)
    except ValueError:
        raise wrong_cursor() from None
    if not -1 <= low <= 1:
        raise wrong_cursor()
    return low, namespace, name


def size_key(parts: list[str]) -> tuple[str, int, int, str]:
    """What families are sorted by.

    Raises:
        ProblemError: `invalid-request`.
    """
    model_type, *numbers, fingerprint = parts
    if not all(text.isascii() and text.isdecimal() for text in numbers):
        raise wrong_cursor()
    hidden_size, layers = (min(int(text[:9]), MAX_WIDTH) for text in numbers)
    return model_type, hidden_size, layers, fingerprint


def encode_place(place: Place, parts: int) -> str:
    """The cursor of the page that begins there.

    Args:
        place: where it begins.
        parts: how many parts the keys of this list have.
    """
    key = place.key or ("",) * parts
    texts = [
        part.isoformat() if isinstance(part, datetime) else str(part) for part in key
    ]
    return encode_cursor(*texts, *([str(place.skipped)] if place.skipped else []))


def decode_place(
    cursor: str | None, parts: int, key: Callable[[list[str]], tuple[Any, ...]]
) -> Place:
    """Where the page begins.

    Args:
        cursor: as it was given out; None: it is the first page.
        parts: how many parts the keys of this list have.
        key: makes the key of its parts.

    Raises:
        ProblemError: `invalid-request`.
    """
    if cursor is None:
        return START
    try:
        return Place(key(decode_cursor(cursor, parts)))
    except ProblemError:
        *texts, skipped = decode_cursor(cursor, parts + 1)
    if not (skipped.isascii() and skipped.isdecimal()):
        raise wrong_cursor()
    # A text of thousands of digits would take long to read.
    count = int(skipped[:4])
    if not 1 <= count <= MAX_SKIPPED:
        raise wrong_cursor()
    return Place(key(texts) if any(texts) else None, count)


def wrong_cursor() -> ProblemError:
    """The problem of a cursor that no page of this list ended with."""
    fault = Fault("/query/cursor", "not a cursor of this list")
    detail = "The cursor is not one that this list gave out; start without one."
    return ProblemError(detail, "invalid-request", faults=[fault])
