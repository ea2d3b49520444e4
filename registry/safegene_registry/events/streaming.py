"""Server-sent events: one answer that goes on.

The format is WHATWG's (html.spec.whatwg.org, section 9.2): browsers and libraries know
it, come again by themselves, and say with `Last-Event-ID` where they have got to.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import UUID

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from safegene_registry.events.kinds import ENDS_STREAMS
from safegene_registry.events.live import Live, Told
from safegene_registry.file_response import BREAK_OFF
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError

log = get_logger("safegene_registry.events")

MEDIA_TYPE = "text/event-stream"

HEARTBEAT_SECONDS = 15.0
"""Silence after which a comment is sent: proxies cut off what says nothing."""

SEND_SECONDS = 30.0
"""How long a listener may take to receive what was sent before it is cut off."""

MAX_SECONDS = 600
"""How long a stream lasts: roles are looked at when one begins, tokens all along."""

RETRY_MILLISECONDS = 1000, 3000
"""When to come again: not all at once, after a replica has stopped."""


class EventStream(Response):
    """What has happened behind a position, and from then on what happens.

    Args:
        live: of this replica.
        namespace: whose events.
        caller: who listens, to share the room.
        after: position behind which to begin.
        last: position of the last event a moment ago.
        everything: also what is for owners only.
        seconds: when to end.
        token_id: what let the caller in; the stream ends when it does.
    """

    media_type = MEDIA_TYPE
    heartbeat_seconds = HEARTBEAT_SECONDS
    send_seconds = SEND_SECONDS

    def __init__(
        self,
        live: Live,
        namespace: str,
        caller: str,
        *,
        after: int,
        last: int,
        everything: bool,
        seconds: float,
        token_id: UUID | None = None,
    ) -> None:
        # nginx would keep events back until it has enough of them.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self.live = live
        self.namespace = namespace
        self.caller = caller
        self.after = after
        self.last = last
        self.everything = everything
        self.seconds = seconds
        self.token_id = token_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until one of the two has had enough."""
        sending = asyncio.create_task(self.send_all(send))
        leaving = asyncio.create_task(gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and sending.exception() is None and not sending.result():
                log.info("listener_cut_off", namespace=self.namespace)
                if BREAK_OFF in scope.get("extensions", {}):
                    await send({"type": BREAK_OFF})
                    await leaving
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if not sending.cancelled():
            sending.result()

    async def send_all(self, send: Send) -> bool:
        """Send what there is to say; whether it was received in time."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        try:
            async for text in self.texts():
                message = {
                    "type": "http.response.body",
                    "body": text.encode(),
                    "more_body": True,
                }
                await asyncio.wait_for(send(message), self.send_seconds)
        except TimeoutError:
            return False
        await send({"type": "http.response.body", "body": b""})
        return True

    async def texts(self) -> AsyncIterator[str]:
        """What is sent, piece by piece."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self.seconds
        position = self.after
        retry = random.randint(*RETRY_MILLISECONDS)  # noqa: S311
        with self.live.listening(
            self.namespace, self.caller, self.last, self.token_id
        ) as listener:
            yield f"retry: {retry}\n\n"
            while not (self.live.is_ending or listener.is_over):
                listener.changed.clear()
                try:
                    events = await self.live.behind(self.namespace, position)
                except ProblemError:
                    # The client comes again, and the log says why.
                    return
                if events:
                    position = events[-1].position
                    yield "".join(self.text_of(event) for event in events)
                    if any(self.is_last(event) for event in events):
                        return
                    continue
                left = ends_at - loop.time()
                if left <= 0:
                    return
                pause = min(left, self.heartbeat_seconds)
                if not await happens(listener.changed, pause):
                    yield ":\n\n"

    def is_last(self, event: Told) -> bool:
        """Whether the listener may have lost the right to since the stream began."""
        return event.kind in ENDS_STREAMS and event.position > self.last

    def text_of(self, event: Told) -> str:
        """One event, or nothing if it is not for this listener."""
        data = event.to_owners if self.everything else event.to_readers
        return "" if data is None else f"id: {event.position}\ndata: {data}\n\n"


async def happens(changed: asyncio.Event, seconds: float) -> bool:
    """Whether an event is set within some time."""
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return False
    return True


async def gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
