"""Short, printable text of a value that somebody else wrote, for messages.

Configs come from anywhere: a value may have megabytes, thousands of digits, control
characters or half a surrogate pair. What quotes it must be none of that.
"""

import reprlib
from typing import Any

_LONGEST = 80
"""Characters of one string, or of any other value."""
_MAX_BITS = 256
"""Larger integers are described, not written: Python refuses to spell the largest."""


class _Short(reprlib.Repr):
    """`repr` of bounded length and depth that never raises."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxdict = 8
        self.maxstring = self.maxother = _LONGEST

    def repr_int(self, x: int, level: int) -> str:
        """An integer, or how large it is."""
        del level
        bits = x.bit_length()
        return repr(x) if bits <= _MAX_BITS else f"an integer of {bits} bits"


def shown(value: Any) -> str:
    """A value as Python spells it, cut short; printable whatever it is."""
    return _Short().repr(value)


def plain(value: Any) -> str:
    """A short printable text as it is; anything else as `shown` spells it."""
    if isinstance(value, str) and len(value) <= _LONGEST and value.isprintable():
        return value
    return shown(value)
