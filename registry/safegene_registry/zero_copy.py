"""Sends files from the kernel's cache to the socket, past this program.

uvicorn lacks the ASGI extension *zero copy send*; `ZeroCopyProtocol` is its protocol
for HTTP/1.1 with that. See ADR 16.
"""

import errno
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from anyio.to_thread import run_sync
from httptools import HttpParserError
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from safegene_registry.file_response import (
    BREAK_OFF,
    EXTENSION,
    READ_BYTES,
    short_file,
)

PIECE_BYTES = 8 << 20
"""Bytes that are looked after at a time: made sure that they are in memory."""

MAX_HEAD_BYTES = 64 << 10
"""Most of a request that is no body; the parser itself would take any head."""


class ZeroCopyProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 on httptools, with *zero copy send* and heads that end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.plain_app = self.app
        self.app = cast("Any", self.offer)
        self.pending = 0
        """Bytes of a head, or of what else is no body, that has not ended."""
        self.progressed = False

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self.progressed = False
        super().data_received(data)
        self.pending = 0 if self.progressed else self.pending + len(data)
        if self.pending > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.logger.warning("Request head is too large.")
            self.send_400_response("Request head is too large.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self.progressed = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """It ends, and the application may begin.

        Raises:
            HttpParserError: it is too large; uvicorn answers 400.
        """
        self.progressed = True
        size = len(self.url) + sum(len(name) + len(text) for name, text in self.headers)
        if size > MAX_HEAD_BYTES:
            message = f"expected a head of at most {MAX_HEAD_BYTES} bytes, got {size}"
            raise HttpParserError(message)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, which others count."""
        self.progressed = True
        super().on_body(body)

    async def offer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the extensions."""
        # Not `self.cycle`, which is the newest one where requests come in a row.
        cycle: RequestResponseCycle = cast("Any", send).__self__

        async def send_any(message: Message) -> None:
            if message["type"] == BREAK_OFF:
                # What was not received so far never will be.
                self.transport.abort()
                return
            if message["type"] == EXTENSION:
                await self.send_file(cycle, message)
                message = {
                    "type": "http.response.body",
                    "more_body": message.get("more_body", False),
                }
            await send(message)

        scope["extensions"] = {
            **scope.get("extensions", {}),
            EXTENSION: {},
            BREAK_OFF: {},
        }
        await cast("Any", self.plain_app)(scope, receive, send_any)

    async def send_file(self, cycle: RequestResponseCycle, message: Message) -> None:
        """Send a range of a file.

        Raises:
            EOFError: the file is too short; the connection must break off, so that a
                short answer does not look whole.
            RuntimeError: more bytes than the answer's Content-Length promised.
        """
        file, start, count = message["file"], message["offset"], message["count"]
        if cycle.disconnected or not count or cycle.scope["method"] == "HEAD":
            return
        # The bytes go past who counts them.
        if count > cycle.expected_content_length:
            promised = cycle.expected_content_length
            text = f"expected {promised} bytes by Content-Length, got {count} to send"
            raise RuntimeError(text)
        cycle.expected_content_length -= count
        for offset, size in pieces(start, count):
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
