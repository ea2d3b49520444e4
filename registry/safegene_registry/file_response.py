"""An answer with the bytes of a file, which the server sends by itself where it can."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, cast

from anyio.to_thread import run_sync
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

EXTENSION = "http.response.zerocopysend"
"""Of ASGI: the server is given an open file, and no bytes."""

BREAK_OFF = "safegene.response.breakoff"
"""Our own server's: the connection ends here and now, whatever was not received."""

READ_BYTES = 1 << 20


class FileResponse(Response):
    """Bytes of a file.

    Args:
        opened: opens the file for as long as its context.
        start: first byte.
        stop: the one after the last.
        status_code: of the answer.
        headers: of the answer, `Content-Length` among them.
        media_type: of the bytes.
    """

    def __init__(
        self,
        opened: AbstractContextManager[BinaryIO],
        start: int,
        stop: int,
        *,
        status_code: int,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        self.opened = opened
        self.start = start
        self.stop = stop
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        self.file: BinaryIO | None = None
        self.init_headers(headers)

    def open(self) -> None:
        """Open the file now, for who is in a thread that may wait for the disk."""
        self.file = self.opened.__enter__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del receive
        # Opened first: what cannot be read is answered as such.
        if self.file is None:
            await run_sync(self.open)
        file = cast("BinaryIO", self.file)
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            if EXTENSION in scope.get("extensions", {}):
                await send(
                    {
                        "type": EXTENSION,
                        "file": file,
                        "offset": self.start,
                        "count": self.stop - self.start,
                    }
                )
            else:
                await self.send_read(file, send)
        finally:
            self.opened.__exit__(None, None, None)

    async def send_read(self, file: BinaryIO, send: Send) -> None:
        """Send what is read, for servers that can do no better."""
        file.seek(self.start)
        left = self.stop - self.start
        while left:
            chunk = await run_sync(file.read, min(READ_BYTES, left))
            if not chunk:
                raise short_file(file)
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def short_file(file: BinaryIO) -> EOFError:
    """The error."""
    return EOFError(f"{file.name} is shorter than it should be")
