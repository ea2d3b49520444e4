"""A real HTTP server that answers as a test tells it to, and remembers what it got.

It can also misbehave as real networks do: cut a connection in the middle of a body.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Got:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the body after which the connection is cut."""


def json_reply(value: Any, status: int = 200) -> Reply:
    """An answer as registries give it."""
    body = json.dumps(value).encode()
    return Reply(status, body, {"Content-Type": "application/json"})


def problem_reply(status: int, slug: str, detail: str, **headers: str) -> Reply:
    """A refusal as registries give it."""
    problem = {
        "type": f"http://registry.test/problems/{slug}",
        "title": slug,
        "status": status,
        "detail": detail,
        "request_id": "req-1",
    }
    found = {"Content-Type": "application/problem+json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return Reply(status, json.dumps(problem).encode(), found)


def file_reply(
    got: Got, data: bytes, *, ranges: bool = True, cut_after: int | None = None
) -> Reply:
    """Bytes, or the range of them that was asked for."""
    asked = got.headers.get("range") if ranges else None
    if asked is None:
        return Reply(200, data, cut_after=cut_after)
    first, _, last = asked.removeprefix("bytes=").partition("-")
    start, stop = int(first), int(last or len(data) - 1) + 1
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
    return Reply(206, data[start:stop], headers, cut_after)


class ScriptedServer:
    """The running server."""

    def __init__(self, respond: Callable[[Got], Reply]) -> None:
        self.respond = respond
        self.requests: list[Got] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def paths(self) -> list[str]:
        return [got.path for got in self.requests]

    def answer(self, got: Got) -> Reply:
        with self._lock:
            self.requests.append(got)
            return self.respond(got)

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.01)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length", 0))
                got = Got(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query)),
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(length),
                )
                self.send(outer.answer(got))

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

            def send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in reply.headers:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if reply.cut_after is None:
                    self.wfile.write(reply.body)
                    return
                self.wfile.write(reply.body[: reply.cut_after])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler


@contextmanager
def scripted_server(respond: Callable[[Got], Reply]) -> Iterator[ScriptedServer]:
    """Run a server on a free port for the length of the block."""
    server = ScriptedServer(respond)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
