"""Reading a blob in a thread beside the one that looks into it.

A store has to be waited for, and meanwhile there is something to do. What is held is a
piece more, whatever the size of the blob.
"""

from queue import SimpleQueue
from threading import Thread
from typing import Self

from safegene_registry.storage import BlobReader

PIECE_BYTES = 1 << 20


class ReadAhead:
    """A `BlobReader` that has the next piece read while the last one is used.

    A context, at whose end the thread that reads ends; it does not outlive the process.

    Args:
        blob: left alone once the context has ended.
    """

    def __init__(self, blob: BlobReader) -> None:
        self._blob = blob
        self._rest = memoryview(b"")
        self._orders: SimpleQueue[int] = SimpleQueue()
        self._pieces: SimpleQueue[bytes | Exception] = SimpleQueue()
        self._thread = Thread(target=self._run, name="read-ahead", daemon=True)
        self._thread.start()
        self._ordered = False
        self._order()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._orders.put(0)
        # Whoever opened the blob closes it next.
        self._thread.join()

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
            if not self._ordered:
                self._order()
            piece = self._pieces.get()
            self._ordered = False
            if isinstance(piece, Exception):
                raise piece
            if piece:
                self._order()
            if len(piece) <= size:
                return piece
            self._rest = memoryview(piece)
        found, self._rest = self._rest[:size], self._rest[size:]
        return bytes(found)

    def _order(self) -> None:
        self._orders.put(PIECE_BYTES)
        self._ordered = True

    def _run(self) -> None:
        while size := self._orders.get():
            try:
                self._pieces.put(self._blob.read(size))
            except Exception as error:  # noqa: BLE001 - raised by `read`
                self._pieces.put(error)
