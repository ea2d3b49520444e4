"""What wraps every request: its id, its log line, its body limit, its last resort.

Plain ASGI, so that bodies stream through untouched.
"""

import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safegene_registry.log import EventLogger, get_logger
from safegene_registry.metrics import Metrics, route_of
from safegene_registry.problems import ProblemError, problem_response

log = get_logger("safegene_registry.requests")
served = EventLogger("safegene_registry.requests", "request_served")

NOSNIFF = (b"x-content-type-options", b"nosniff")
"""Files are whatever a publisher sent: never let a browser guess."""


class RequestMiddleware:
    """Give each request an id, log and count it, and answer 500 if nobody else did."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status: int | None = None
        received = sent = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", request_id.encode()), NOSNIFF
                message["headers"] = [*message.get("headers", ()), *own]
                protect(message)
            await send(message)
            # A file that the server sends by itself comes as its size.
            sent += len(message.get("body", b"")) + message.get("count", 0)

        self.metrics.running.inc()
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.app(scope, counted, send_with_id)
        except Exception:
            # The outermost edge: log and convert, so that no caller ever sees a
            # stack trace and no request ends without an answer.
            log.exception("request_failed", path=scope["path"])
            if status is None:
                request = Request(scope)
                problem = ProblemError(
                    "The registry failed; the log has the reason.", "internal-error"
                )
                response = problem_response(request, problem)
                await response(scope, receive, send_with_id)
        finally:
            structlog.contextvars.reset_contextvars(**bound)
            self.metrics.running.dec()
            seconds = time.perf_counter() - started
            self.metrics.count(
                scope, status=status, seconds=seconds, received=received, sent=sent
            )
            state = scope["state"]
            served.info(
                {
                    "method": scope["method"],
                    "path": scope["path"],
                    "account": state.get("account"),
                },
                request_id=request_id,
                route=route_of(scope),
                principal_id=state.get("principal_id"),
                status=status,
                duration_ms=round(seconds * 1000, 1),
                received_bytes=received,
                sent_bytes=sent,
            )


def protect(message: Message) -> None:
    """Say of an answer what caches may not do with it, if nobody said what they may."""
    if all(name != b"cache-control" for name, _ in message["headers"]):
        headers = MutableHeaders(scope=message)
        # What is not said to be for everybody depends on who asks.
        headers["Cache-Control"] = "private, no-cache"
        headers.add_vary_header("Authorization")


def is_blob(scope: Scope) -> bool:
    """Whether the body is a blob of an upload."""
    path: str = scope["path"]
    method: str = scope["method"]
    return method == "PUT" and path.startswith("/v1/uploads/")


class BodyLimitMiddleware:
    """Refuse bodies over the limit while they arrive.

    Blobs are left alone: they are counted against the manifest that promised them.
    """

    def __init__(self, app: ASGIApp, max_request_bytes: int) -> None:
        self.app = app
        self.max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request with a counted body."""
        if scope["type"] != "http" or is_blob(scope):
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        received = 0

        async def counted() -> Message:
            nonlocal received
            if announced.isdecimal() and int(announced) > self.max_request_bytes:
                raise self.too_large()
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_request_bytes:
                raise self.too_large()
            return message

        await self.app(scope, counted, send)

    def too_large(self) -> HTTPException:
        """The refusal; of the framework's type, which its body parsers let through."""
        limit = self.max_request_bytes
        return HTTPException(413, f"The body is larger than {limit} bytes.")
