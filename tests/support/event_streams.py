"""Reading server-sent events, the way WHATWG's standard says."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sent:
    """One event of a stream."""

    id: int
    data: dict[str, Any]


def sent_events(lines: Iterable[str]) -> Iterator[Sent]:
    """Events from the lines of a stream; comments and `retry` are passed over."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            if "data" in fields:
                yield Sent(int(fields["id"]), json.loads(fields["data"]))
            fields = {}
