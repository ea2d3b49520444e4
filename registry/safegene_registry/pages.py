"""Pages of lists: cursors say after which entry the next page starts.

They hold the last entry's key and nothing else, so that a page costs the same wherever
it lies and entries that come or go meanwhile move nobody else's.
"""

import base64
import binascii
import json
from datetime import UTC, datetime
from uuid import UUID

from safegene_registry.problems import Fault, ProblemError

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
    time, key = decode_cursor(cursor, 2)
    try:
        at = datetime.fromisoformat(time)
        # A database may not take what lies beyond its calendar, or has no zone.
        if at.tzinfo is not None and at.year > MIN_YEAR:
            return at.astimezone(UTC), UUID(key)
    except (ValueError, OverflowError):
        pass
    raise wrong_cursor()


def wrong_cursor() -> ProblemError:
    """The problem of a cursor that no page of this list ended with."""
    fault = Fault("/query/cursor", "not a cursor of this list")
    detail = "The cursor is not one that this list gave out; start without one."
    return ProblemError(detail, "invalid-request", faults=[fault])
