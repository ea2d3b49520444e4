"""Run the service: prepare the data, listen, say so, stop in good order."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from safegene_registry import lock_repository, token_repository
from safegene_registry.access import Scope
from safegene_registry.app import create_app
from safegene_registry.db import Database
from safegene_registry.log import configure_logging, get_logger
from safegene_registry.migrate import check_schema, upgrade
from safegene_registry.services import utc_now
from safegene_registry.settings import Settings
from safegene_registry.tokens import WantedToken, create_token, user_account
from safegene_registry.zero_copy import ZeroCopyProtocol

log = get_logger("safegene_registry.server")

FIRST_TOKEN_NAME = "first admin"  # noqa: S105 - a name, not a secret


def open_database(settings: Settings) -> Database:
    """The database, made if it is the embedded one and there is none."""
    if settings.database_url is None:
        settings.data.mkdir(parents=True, exist_ok=True)
    return Database(settings.parsed_database_url)


def prepare_data(settings: Settings) -> Database:
    """The database with the schema that this program needs.

    The embedded one is migrated. One that several programs share never is by the way:
    that is a step of its own, with a program that may change tables.

    Raises:
        MigrationError: the shared database has another schema, or cannot be reached.
    """
    database = open_database(settings)
    try:
        if database.is_embedded:
            upgrade(database)
        else:
            check_schema(database)
    except BaseException:
        database.dispose()
        raise
    return database


def first_token(database: Database) -> str | None:
    """Make the first admin token; None when there are tokens already."""
    with database.writing() as session:
        lock_repository.lock_first_token(session)
        if token_repository.has_tokens(session):
            return None
        account = user_account(session, FIRST_TOKEN_NAME, operator=True, by="serve")
        wanted = WantedToken(FIRST_TOKEN_NAME, Scope.ADMIN)
        secret, _ = create_token(session, account, wanted, now=utc_now(), by="serve")
        return secret


def serve(settings: Settings, *, host: str, port: int, ready_file: Path | None) -> None:
    """Serve until a signal says stop.

    Args:
        settings: of the registry.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        ready_file: gets `{"url": …}` once requests are answered.

    Raises:
        OSError: the address cannot be listened on.
    """
    configure_logging(settings.log_format, settings.log_level)
    listener = bind(host, port)
    url = url_of(listener, host)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=ZeroCopyProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=int(settings.shutdown_timeout.total_seconds()),
    )
    drain_seconds = settings.drain_delay.total_seconds()
    RegistryServer(config, app, url, ready_file, drain_seconds).run(sockets=[listener])


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, so that the port is known before anything is served."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host} port {port}: {error.strerror}"
        raise OSError(error.errno, message) from error
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """The address that a client on this machine can use."""
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class RegistryServer(uvicorn.Server):
    """Says where it listens, once it does, and stops in three steps.

    SIGTERM makes `/readyz` say 503 while requests are still taken, so that whoever
    sends them can turn away. After the drain delay nothing new is accepted, and what
    runs may end. After the shutdown time-out what still runs is cut off. A second
    signal ends the delay.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        url: str,
        ready_file: Path | None,
        drain_seconds: float,
    ) -> None:
        super().__init__(config)
        self.app = app
        self.url = url
        self.ready_file = ready_file
        self.drain_seconds = drain_seconds
        self.closes_at: float | None = None
        """When nothing is accepted any more, on the monotonic clock."""
        self.said_so = False

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop in good order on SIGTERM and SIGINT.

        The base class raises the signal anew once it has stopped, which makes a stop
        on request look like a crash to whoever supervises the process.
        """
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; the second time, at once."""
        if self.closes_at is None and self.started and self.drain_seconds > 0:
            self.closes_at = time.monotonic() + self.drain_seconds
            self.app.state.readiness.drain()
            return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop now; asked ten times a second."""
        # Not in `handle_exit`, which may have interrupted a write to the log.
        if self.closes_at is not None and not self.said_so:
            self.said_so = True
            log.info("server_draining", seconds=self.drain_seconds)
        if self.closes_at is not None and time.monotonic() >= self.closes_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; streams of events, which would go on, end first."""
        self.app.state.live.end()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then announce."""
        await super().startup(sockets)
        if self.started:
            log.info("server_started", url=self.url)
            if self.ready_file is not None:
                write_ready_file(self.ready_file, self.url)


def write_ready_file(path: Path, url: str) -> None:
    """Write the file whole or not at all: somebody is waiting for it to appear."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps({"url": url}), encoding="utf-8")
    part.replace(path)
