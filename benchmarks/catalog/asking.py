"""Asks a registry in this process, and times what happens between request and answer.

The whole application runs, its middleware and log lines included; only the sockets are
left out. Questions are the same at every size.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from safegene_registry.app import create_app
from safegene_registry.settings import Settings
from sqlalchemy import event
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.catalog.contents import (
    BLOCK,
    COUNTS,
    LICENSES,
    POPULAR,
    RANKS,
    family_config,
    unpublished_config,
)
from safegene.artifact.architecture import architecture_from_config

LIMIT = 10
"""Entries of a page: as many as the smallest catalog has of what is asked for."""

PAGE = 100
FACETS = f"family=llama&license={LICENSES[0]}&rank={RANKS[0]}"
FITS, NOTHING, BY_FINGERPRINT = "fits", "nothing fits", "fits by fingerprint"
FIRST, LATER, RANGE = "search, page 1", "search, page 100", "resolve a range"
KINDS = (FITS, NOTHING, BY_FINGERPRINT, FIRST, LATER, RANGE)


class Timed:
    """The application, and how long its last request took."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seconds = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        begin = time.perf_counter()
        await self.app(scope, receive, send)
        self.seconds = time.perf_counter() - begin


@dataclass
class Asked:
    """A catalog that questions are put to.

    Args:
        name: of the catalog.
        versions: that it has.
        client: of the application.
        timed: the application.
        engine: of its database.
    """

    name: str
    versions: int
    client: TestClient
    timed: Timed
    engine: Any
    numbers: Iterator[int] = field(default_factory=count)
    later: str | None = None
    """Cursor of the page before the 100th, or of the last full one."""

    def ask(self, kind: str) -> float:
        """Put one question; the seconds it took.

        Raises:
            RuntimeError: the answer is not what it should be.
        """
        method, url, body = self.question(kind, next(self.numbers))
        answer = self.client.request(method, url, json=body)
        seconds = self.timed.seconds
        self.check(kind, answer.status_code, answer.json())
        return seconds

    def statements(self, kind: str) -> int:
        """How many statements one question takes, once caches are warm."""
        self.ask(kind)
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
            if text.lstrip().startswith(("SELECT", "WITH")):
                seen.append(text)

        event.listen(self.engine, "before_cursor_execute", note)
        self.ask(kind)
        event.remove(self.engine, "before_cursor_execute", note)
        return len(seen)

    def question(self, kind: str, number: int) -> tuple[str, str, Any]:
        """Method, address and body."""
        popular = family_config(number % POPULAR)
        if kind == FITS:
            config = {**popular, "vocab_size": 32000 + number}
            return "POST", "/v1/compatibility", {"config": config, "limit": LIMIT}
        if kind == NOTHING:
            body = {"config": unpublished_config(number % POPULAR)}
            return "POST", "/v1/compatibility", body
        if kind == BY_FINGERPRINT:
            fingerprint = architecture_from_config(popular).fingerprint
            url = f"/v1/compatibility?fingerprint={fingerprint}&limit={LIMIT}"
            return "GET", url, None
        if kind == FIRST:
            return "GET", f"/v1/vectors?{FACETS}&limit={LIMIT}", None
        if kind == LATER:
            return "GET", f"/v1/vectors?limit={LIMIT}&cursor={self.cursor()}", None
        draw = random.Random(number)  # noqa: S311 - not a secret
        # The same vectors of a block, whatever the number of blocks.
        block, at = draw.randrange(self.versions // BLOCK), number % len(COUNTS)
        side = "ab"[at % 2]
        if block % 5 == 4:  # noqa: PLR2004 - one in ten rooms is private
            side, at = "a", at - at % 2
        vector = f"team-{block:04}-{side}/guard-{at:03}"
        return "GET", f"/v1/vectors/{vector}/resolve?constraint=~%3D1.0", None

    def cursor(self) -> str:
        """Turn pages once, as far as there are full ones."""
        if self.later is None:
            cursor, url = "", f"/v1/vectors?limit={LIMIT}"
            for _ in range(PAGE - 1):
                page = self.client.get(url).json()
                if page["next_cursor"] is None:
                    break
                cursor = page["next_cursor"]
                url = f"/v1/vectors?limit={LIMIT}&cursor={cursor}"
            self.later = cursor
        return self.later

    def check(self, kind: str, status: int, answer: Any) -> None:
        """Make sure that all catalogs do the same work.

        Raises:
            RuntimeError: they do not.
        """
        lists = {FITS: "fits", BY_FINGERPRINT: "fits", NOTHING: "others"}
        key = lists.get(kind, "files" if kind == RANGE else "items")
        wanted = 4 if kind == RANGE else LIMIT
        if status != 200 or len(answer[key]) != wanted:  # noqa: PLR2004 - HTTP
            found = len(answer.get(key, ()))
            message = f"{self.name}: {kind}: {status} with {found} of {wanted}"
            raise RuntimeError(message)


@contextmanager
def asked(name: str, versions: int, settings: Settings) -> Iterator[Asked]:
    """A catalog's registry, until the end of the block."""
    app = create_app(settings)
    timed = Timed(app)
    with TestClient(timed) as client:
        engine = app.state.services.database.engine
        yield Asked(name, versions, client, timed, engine)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the others do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
