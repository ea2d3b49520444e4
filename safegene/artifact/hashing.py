"""Hashing in a thread beside the one that reads or writes the bytes."""

import hashlib
from queue import Queue
from threading import Thread
from typing import Self

BATCH_BYTES = 1 << 20
"""Hashed in one go: to hand work to a thread costs as much as hashing kilobytes."""

MOST_WAITING = 1
"""Batches that may wait to be hashed, beside the one that is."""


class HashedBeside:
    """Like what `hashlib.sha256` gives, but hashes in a thread of its own.

    A context, at whose end the thread ends; it does not outlive the process.
    """

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self._batch: list[bytes] = []
        self._size = 0
        self._waiting: Queue[list[bytes]] = Queue(MOST_WAITING)
        self._thread = Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._waiting.put([])
        self._thread.join()

    def update(self, piece: bytes, /) -> None:
        """Hash these bytes, too."""
        self._batch.append(piece)
        self._size += len(piece)
        if self._size >= BATCH_BYTES:
            self._hand_over()

    def hexdigest(self) -> str:
        """Digest of all bytes so far."""
        if self._batch:
            self._hand_over()
        self._waiting.join()
        return self._state.hexdigest()

    def _hand_over(self) -> None:
        self._waiting.put(self._batch)
        self._batch, self._size = [], 0

    def _run(self) -> None:
        while batch := self._waiting.get():
            for piece in batch:
                self._state.update(piece)
            self._waiting.task_done()
