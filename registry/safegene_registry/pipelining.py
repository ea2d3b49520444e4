"""Reading and hashing a blob in threads beside the one that looks into it.

A store is waited for, and sha256 lets other threads run: one after the other they take
twice as long. What is held is a few pieces, whatever the size of the blob.
"""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from safegene_registry.storage import BlobReader

PIECE_BYTES = 1 << 20
MOST_WAITING = 2
"""Pieces that may wait to be hashed."""


class ReadAhead:
    """A `BlobReader` that has the next piece read while the last one is used.

    Args:
        blob: read by one thread at a time; left alone once the context has ended.
    """

    def __init__(self, blob: BlobReader) -> None:
        self._blob = blob
        self._rest = memoryview(b"")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._next: Future[bytes] = self._pool.submit(blob.read, PIECE_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        # Waited for: whoever opened the blob closes it next.
        self._pool.shutdown(cancel_futures=True)

    @property
    def tag(self) -> str:
        """Of the object that is being read."""
        return self._blob.tag

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end.

        Raises:
            OSError: they cannot be read.
            StorageError: likewise.
        """
        if not self._rest:
            piece = self._next.result()
            if not piece:
                return b""
            self._next = self._pool.submit(self._blob.read, PIECE_BYTES)
            if len(piece) <= size:
                return piece
            self._rest = memoryview(piece)
        found, self._rest = self._rest[:size], self._rest[size:]
        return bytes(found)


class HashedBeside:
    """Like what `hashlib.sha256` gives, but hashes in a thread of its own."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="hash")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def update(self, piece: bytes) -> None:
        """Hash these bytes, too."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._state.update, piece))

    def hexdigest(self) -> str:
        """Digest of all bytes so far."""
        while self._waiting:
            self._waiting.popleft().result()
        return self._state.hexdigest()
