"""Sends files from the kernel's cache to the socket, past this program.

uvicorn lacks the ASGI extension *zero copy send*; `ZeroCopyProtocol` is its protocol
for HTTP/1.1 with that. See ADR 16.
"""

import errno
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import h11
from anyio.to_thread import run_sync
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from safegene_registry.file_response import EXTENSION, READ_BYTES, short_file

PIECE_BYTES = 8 << 20
"""Bytes that are looked after at a time: made sure that they are in memory."""


class ZeroCopyProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 on h11, and *zero copy send*."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.plain_app = self.app
        self.app = cast("Any", self.offer)

    async def offer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the extension."""
        cycle = self.cycle

        async def send_any(message: Message) -> None:
            if message["type"] == EXTENSION:
                await self.send_file(cycle, message)
                message = {
                    "type": "http.response.body",
                    "more_body": message.get("more_body", False),
                }
            await send(message)

        scope["extensions"] = {**scope.get("extensions", {}), EXTENSION: {}}
        await cast("Any", self.plain_app)(scope, receive, send_any)

    async def send_file(self, cycle: RequestResponseCycle, message: Message) -> None:
        """Send a range of a file.

        Raises:
            EOFError: the file is too short; the connection must break off, so that a
                short answer does not look whole.
        """
        file, start = message["file"], message["offset"]
        if cycle.disconnected or not message["count"]:
            return
        count = Promised(message["count"])
        # Counts the bytes against Content-Length; they themselves go past it.
        self.conn.send_with_data_passthrough(h11.Data(data=cast("bytes", count)))
        for offset, size in pieces(start, len(count)):
            await make_resident(file, offset, size)
            if self.transport.is_closing():
                return
            try:
                sent = await self.loop.sendfile(self.transport, file, offset, size)
            except OSError as error:
                if not is_gone(error):
                    raise
                # As when a write finds nobody there: the application is not told.
                self.transport.abort()
                return
            if sent < size:
                raise short_file(file)


class Promised:
    """Stands for bytes that go another way; h11 asks for nothing but their number."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count


def pieces(start: int, count: int) -> Iterator[tuple[int, int]]:
    """Offset and size of what is sent in one go."""
    stop = start + count
    for offset in range(start, stop, PIECE_BYTES):
        yield offset, min(PIECE_BYTES, stop - offset)


async def make_resident(file: BinaryIO, offset: int, size: int) -> None:
    """Have the disk read in a thread: in the event loop everybody would wait for it."""
    if not (is_resident(file, offset) and is_resident(file, offset + size - 1)):
        await run_sync(read_through, file, offset, size)


def is_resident(file: BinaryIO, offset: int) -> bool:
    """Whether a byte is in memory, or its file system cannot tell."""
    if not hasattr(os, "RWF_NOWAIT"):  # only Linux can be asked
        return False
    try:
        os.preadv(file.fileno(), [bytearray(1)], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def read_through(file: BinaryIO, offset: int, size: int) -> None:
    """Bring a piece of a file into memory."""
    buffer = memoryview(bytearray(READ_BYTES))
    stop = offset + size
    while offset < stop:
        count = os.preadv(file.fileno(), [buffer[: stop - offset]], offset)
        if not count:
            return
        offset += count


def is_gone(error: OSError) -> bool:
    """Whether an error means that the other side has left."""
    return isinstance(error, ConnectionError) or error.errno in (
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    )
