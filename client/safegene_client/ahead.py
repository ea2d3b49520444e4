"""Pieces that are fetched ahead of who takes them, several at once.

One connection moves as much as one processor can parse, and while bytes are hashed and
written nobody reads it. What comes out is in order, so whoever takes it need not know.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Self

Piece = tuple[int, int]
"""First byte and the one after the last."""

Fetch = Callable[[int, int, Event], list[bytes]]
"""Fetches a piece whole; may give up once the event is set."""


class Ahead:
    """Fetches pieces in order, at most `at_once` of them before they are taken.

    Args:
        fetch: called in threads.
        pieces: what is fetched.
        at_once: how many at a time; as many are held in memory.
    """

    def __init__(self, fetch: Fetch, pieces: Sequence[Piece], at_once: int) -> None:
        self._fetch = fetch
        self._left = deque(pieces)
        self._stop = Event()
        self._coming: deque[Future[list[bytes]]] = deque()
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="ahead")
        for _ in range(at_once):
            self._begin_next()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        # Threads are not waited for: one may be stuck in a connection that is dead.
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def chunks(self) -> Iterator[bytes]:
        """All bytes, in order.

        Raises:
            Exception: what fetching a piece raised, once its turn has come.
        """
        while self._coming:
            chunks = self._coming.popleft().result()
            self._begin_next()
            yield from chunks

    def _begin_next(self) -> None:
        if self._left:
            piece = self._left.popleft()
            self._coming.append(self._pool.submit(self._fetch, *piece, self._stop))
