"""Work that goes on beside the requests, in a few threads of this process.

The threads end with the process, whatever they are doing: jobs must be of a kind that
may be cut off anywhere, and begun anew elsewhere.
"""

import threading
import time
from collections.abc import Callable
from uuid import UUID

AT_ONCE = 2
"""Jobs that run at once: each keeps a core busy."""

WAITING = 30
"""Jobs that may wait for their turn."""

LOOK_SECONDS = 0.2


class BusyError(Exception):
    """There are too many jobs already, or the process is stopping."""


class Background:
    """Runs jobs, a few at once, the others after them.

    Args:
        at_once: jobs that run at once.
        waiting: jobs that may wait.
    """

    def __init__(self, *, at_once: int = AT_ONCE, waiting: int = WAITING) -> None:
        self._turns = threading.Semaphore(at_once)
        self._most = at_once + waiting
        self._keys: set[UUID] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def start(self, key: UUID, job: Callable[[], None]) -> None:
        """Have a job run as soon as it is its turn.

        Args:
            key: what to call it.
            job: catches its own errors.

        Raises:
            BusyError: it will not be run.
        """
        with self._lock:
            if self._closing.is_set() or len(self._keys) >= self._most:
                raise BusyError
            self._keys.add(key)
        threading.Thread(target=self._run, args=(key, job), daemon=True).start()

    def close(self, seconds: float) -> set[UUID]:
        """Start nothing more, and give what runs a little time to end.

        Returns:
            The keys of jobs that have not ended; those that run are not waited for.
        """
        self._closing.set()
        deadline = time.monotonic() + seconds
        while self._left() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return self._left()

    def _left(self) -> set[UUID]:
        with self._lock:
            return set(self._keys)

    def _run(self, key: UUID, job: Callable[[], None]) -> None:
        while not self._turns.acquire(timeout=LOOK_SECONDS):
            if self._closing.is_set():
                return
        try:
            if self._closing.is_set():
                return
            job()
            with self._lock:
                self._keys.discard(key)
        finally:
            self._turns.release()
