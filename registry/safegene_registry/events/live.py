"""Events as they happen, for all who listen at one replica.

However many listen, the replica asks the database one question a moment: how far are
the chains that somebody listens to, and which of their tokens work no longer? What is
new is read once, kept for a while, and handed to everybody. Between two events a
listener is a coroutine that waits; it has no thread and no connection of the database.
Each reads at its own pace from what is kept, and from the database what is kept no
longer, so a slow one costs the others nothing. Everything here but `_look` and `_read`
runs on the event loop, which keeps it free of races.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from safegene_registry import token_repository
from safegene_registry.db import Database
from safegene_registry.events import event_repository
from safegene_registry.events.feed import event_detail
from safegene_registry.events.kinds import is_for_readers
from safegene_registry.log import get_logger
from safegene_registry.models import EventRow
from safegene_registry.problems import ProblemError
from safegene_registry.services import utc_now

log = get_logger("safegene_registry.events")

Found = TypeVar("Found")

POLL_SECONDS = 0.2
"""How long an event may go unnoticed by the other replicas."""

KEPT = 1000
"""Events of a namespace that are kept for those who are a little behind."""

READ_AT_ONCE = 200
"""Events that are read in one go."""

THREADS = 2
"""That read; those who were away for long wait for each other, and for nobody else."""

RETRY_SECONDS = 10
"""What is said to those for whom there is no room."""

SHARE = 4
"""One caller gets at most one of so many parts of the room."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event in the two forms in which it is sent."""

    position: int
    kind: str
    to_owners: str
    to_readers: str | None
    """None: it is not for them."""


def told(row: EventRow) -> Told:
    """An event, rendered once for everybody."""
    readable = event_detail(row, everything=False).model_dump_json()
    return Told(
        row.position,
        row.kind,
        event_detail(row, everything=True).model_dump_json(),
        readable if is_for_readers(row.kind) else None,
    )


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody who waits for what is new."""

    token_id: UUID | None = None
    """What let them in."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False
    """Whether that token works no longer."""


@dataclass(slots=True)
class Room:
    """A namespace that somebody listens to."""

    position: int
    """Of the last event that is known here."""
    kept: deque[Told] = field(default_factory=lambda: deque(maxlen=KEPT))
    listeners: set[Listener] = field(default_factory=set)

    def add(self, events: Sequence[Told]) -> None:
        """Take what is new, and wake everybody."""
        for event in events:
            if event.position == self.position + 1:
                self.kept.append(event)
                self.position = event.position
        for listener in self.listeners:
            listener.changed.set()

    def behind(self, position: int) -> Sequence[Told] | None:
        """What is kept behind a position; None: that is not kept any more."""
        missing = self.position - position
        if missing > len(self.kept):
            return None
        return list(self.kept)[len(self.kept) - missing :][:READ_AT_ONCE]


class Live:
    """Watches the chains that somebody listens to.

    Args:
        database: of the registry.
        limit: of listeners at once.
        clock: tells when tokens end.
    """

    def __init__(
        self,
        database: Database,
        *,
        limit: int,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.database = database
        self.limit = limit
        self.clock = clock
        self.rooms: dict[str, Room] = {}
        self.callers: Counter[str] = Counter()
        self.is_ending = False
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="events")
        self._watch: asyncio.Task[None] | None = None

    def check_room(self, caller: str) -> None:
        """Make sure that there is room for one more listener.

        Raises:
            ProblemError: `rate-limited`: there is none, for this caller or at all.
        """
        share = max(1, self.limit // SHARE)
        if self.callers.total() >= self.limit or self.callers[caller] >= share:
            detail = (
                f"{self.callers.total()} of at most {self.limit} listen here already,"
                f" {self.callers[caller]} of at most {share} of them are this caller's."
            )
            headers = {"Retry-After": str(RETRY_SECONDS)}
            raise ProblemError(detail, "rate-limited", headers=headers)

    async def last(self, namespace: str) -> int:
        """Position of the last event of a namespace; 0: there is none.

        Raises:
            ProblemError: the database cannot be asked now.
        """
        ends, _ = await self._in_thread(partial(self._look, [namespace], frozenset()))
        return ends[namespace]

    @contextmanager
    def listening(
        self, namespace: str, caller: str, last: int, token_id: UUID | None = None
    ) -> Iterator[Listener]:
        """Be told that there is something new, and when one has to leave.

        Args:
            namespace: where.
            caller: who listens, to share the room.
            last: position of its last event a moment ago.
            token_id: what let them in.
        """
        room, listener = (
            self.rooms.setdefault(namespace, Room(last)),
            Listener(token_id),
        )
        room.listeners.add(listener)
        self.callers[caller] += 1
        if self._own_watch() is None:
            self._watch = asyncio.create_task(self._watching())
        try:
            yield listener
        finally:
            self.callers[caller] -= 1
            if not self.callers[caller]:
                del self.callers[caller]
            room.listeners.discard(listener)
            if not room.listeners and self.rooms.get(namespace) is room:
                del self.rooms[namespace]

    async def behind(self, namespace: str, position: int) -> Sequence[Told]:
        """What is known behind a position, or the beginning of that.

        Raises:
            ProblemError: the database cannot be asked now.
        """
        kept = self.rooms[namespace].behind(position)
        if kept is not None:
            return kept
        return await self._in_thread(partial(self._read, namespace, position))

    def end(self) -> None:
        """Have every listener leave; nobody is let in any more."""
        self.is_ending = True
        for room in self.rooms.values():
            for listener in room.listeners:
                listener.changed.set()

    async def close(self) -> None:
        """Stop watching."""
        self.end()
        watch = self._own_watch()
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        self._threads.shutdown()

    def _own_watch(self) -> asyncio.Task[None] | None:
        """The task that watches, while it runs on this loop.

        A server has one loop. Test clients bring one for each request, and a task whose
        loop was closed under it is never done.
        """
        watch = self._watch
        if watch is None or watch.done():
            return None
        return watch if watch.get_loop() is asyncio.get_running_loop() else None

    async def _watching(self) -> None:
        """Look for what is new while anybody listens."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self.rooms or self.is_ending:
                return
            try:
                await self._look_once()
            except ProblemError as problem:
                # They hear of it later: nothing is left out.
                log.warning("events_unknown", reason=problem.detail)

    async def _look_once(self) -> None:
        listeners = [each for room in self.rooms.values() for each in room.listeners]
        tokens = frozenset(each.token_id for each in listeners if each.token_id)
        look = partial(self._look, list(self.rooms), tokens)
        ends, over = await self._in_thread(look)
        for listener in listeners:
            if listener.token_id in over:
                listener.is_over = True
                listener.changed.set()
        for namespace, end in ends.items():
            room = self.rooms.get(namespace)
            while room is not None and room.position < end:
                reading = partial(self._read, namespace, room.position)
                new = await self._in_thread(reading)
                room.add(new)
                if not new:
                    break

    async def _in_thread(self, work: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _look(
        self, namespaces: list[str], tokens: Collection[UUID]
    ) -> tuple[dict[str, int], set[UUID]]:
        """Where chains end, 0 where there is none; and the tokens that have ended.

        Tokens are looked at last: who lost theirs before an event hears nothing of it.
        """
        now = self.clock()
        with self.database.reading() as session:
            found = event_repository.find_ends(session, namespaces)
            over = token_repository.ended_tokens(session, tokens, now)
        return {name: found.get(name, 0) for name in namespaces}, over

    def _read(self, namespace: str, after: int) -> list[Told]:
        with self.database.reading() as session:
            rows = event_repository.list_events(
                session, namespace, after=after, limit=READ_AT_ONCE
            )
        return [told(row) for row in rows]
