"""Requests to an application without a client library, a socket or a thread between.

For tests that send very many. What the application itself does is the same: all of its
middleware, its handlers in threads, its database.
"""

import asyncio
import json as json_module
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Straight:
    """What was answered."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The body, read."""
        return json_module.loads(self.content)


Asked = tuple[asyncio.Future[Straight], Coroutine[Any, Any, Straight]]


class StraightClient:
    """Calls an application whose lifespan somebody else runs.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._asked: asyncio.Queue[Asked | None] = asyncio.Queue()
        self._task = self._loop.create_task(self._serve())

    def __enter__(self) -> Self:
        """Use it as a context, so that its loop ends."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close its loop."""
        self._asked.put_nowait(None)
        self._loop.run_until_complete(self._task)
        self._runner.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes = b"",
    ) -> Straight:
        """Send a request; the answer, whole."""
        sent = {"host": "testserver", **(headers or {})}
        if json is not None:
            content, sent["content-type"] = json_module.dumps(json).encode(), JSON
        sent["content-length"] = str(len(content))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": urlencode(params or {}).encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            "state": {},
        }
        answer: asyncio.Future[Straight] = self._loop.create_future()
        self._asked.put_nowait((answer, self._call(scope, content)))
        return self._loop.run_until_complete(answer)

    def post(self, path: str, **options: Any) -> Straight:
        """A POST."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Straight:
        """A PUT."""
        return self.request("PUT", path, **options)

    async def _serve(self) -> None:
        """Call in one task: with each, all threads of handlers would end."""
        while (asked := await self._asked.get()) is not None:
            answer, call = asked
            try:
                answer.set_result(await call)
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                answer.set_exception(error)

    async def _call(self, scope: dict[str, Any], content: bytes) -> Straight:
        parts = [{"type": "http.request", "body": content, "more_body": False}]
        heads: list[Message] = []
        body = bytearray()

        async def receive() -> Message:
            return parts.pop() if parts else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                heads.append(message)
            else:
                body.extend(message.get("body", b""))

        await self.app(scope, receive, send)
        (head,) = heads
        headers = {name.decode(): value.decode() for name, value in head["headers"]}
        return Straight(head["status"], headers, bytes(body))


JSON = "application/json"
