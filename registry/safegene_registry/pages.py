"""Pages of lists: cursors say after which entry the next page starts.

They hold the last entry's key and nothing else, so that a page costs the same wherever
it lies and entries that come or go meanwhile move nobody else's.
"""

import base64
import binascii
import json

from safegene_registry.problems import Fault, ProblemError


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
    fault = Fault("/query/cursor", "not a cursor of this registry")
    detail = "The cursor is not one that this registry gave out; start without one."
    raise ProblemError(detail, "invalid-request", faults=[fault])
