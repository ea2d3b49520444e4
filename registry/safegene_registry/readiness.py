"""Whether this replica can serve: each of its parts is asked, and has to answer soon.

Orchestrators and proxies ask often, and so may strangers. So a part is asked by one
thread at a time, whoever asks meanwhile gets that answer, and it holds for a moment.
Nothing here takes a thread or a connection that requests need: a replica that is merely
busy is ready, else its load would fall on the others until they go the same way.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Annotated, cast

from fastapi import Depends, Request

from safegene_registry.db import Database
from safegene_registry.log import get_logger
from safegene_registry.migrate import schema_fault
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services

log = get_logger("safegene_registry.readiness")

KEEP_SECONDS = 1.0
"""How long an answer holds."""


class Probe:
    """Asks one part of the registry, in a thread of its own.

    Args:
        name: of the part, for people.
        ask: returns if the part is well, and raises if not.
        timeout: seconds that an answer may take.
    """

    def __init__(self, name: str, ask: Callable[[], None], timeout: float) -> None:
        self.name = name
        self.ask = ask
        self.timeout = timeout
        self._asked_at = 0.0
        self._answer: Future[str | None] | None = None

    async def problem(self) -> str | None:
        """What is wrong with the part, None if nothing is.

        Called on the event loop only, which keeps it free of races.
        """
        now = time.monotonic()
        answer = self._answer
        if answer is None or (answer.done() and now - self._asked_at > KEEP_SECONDS):
            answer = self._begin(now)
        left = self._asked_at + self.timeout - now
        if not answer.done() and left > 0:
            await asyncio.wait({asyncio.wrap_future(answer)}, timeout=left)
        if answer.done():
            return answer.result()
        return f"no answer within {self.timeout:g} s"

    def _begin(self, now: float) -> "Future[str | None]":
        """Ask anew. The thread never keeps a process from ending."""
        answer: Future[str | None] = Future()
        self._asked_at, self._answer = now, answer
        threading.Thread(
            target=self._run, args=(answer,), name=f"probe {self.name}", daemon=True
        ).start()
        return answer

    def _run(self, answer: "Future[str | None]") -> None:
        try:
            self.ask()
        except ProblemError as problem:
            answer.set_result(problem.detail)
        except Exception as error:  # noqa: BLE001
            # An edge: whatever it is, the answer is "not ready", and nobody waits for
            # a thread that has died.
            log.warning("probe_failed", part=self.name, error=str(error))
            answer.set_result("failed; the log has the reason")
        else:
            answer.set_result(None)


class Readiness:
    """Asks every part, and knows whether the process is about to stop.

    Args:
        services: of the running application.
    """

    def __init__(self, services: Services) -> None:
        timeout = services.settings.readiness_timeout.total_seconds()
        # A connection of its own: those of requests may all be in use.
        self._database = Database(services.database.url)
        check = partial(check_database, self._database)
        parts: dict[str, Callable[[], None]] = {
            "database": check,
            "store": services.store.ping,
        }
        self._probes = [Probe(name, ask, timeout) for name, ask in parts.items()]
        self._is_draining = False

    def drain(self) -> None:
        """Be ready no more, so that nobody sends new requests."""
        self._is_draining = True

    async def problems(self) -> Mapping[str, str | None]:
        """What is wrong with each part, None with those that are well."""
        found = await asyncio.gather(*(probe.problem() for probe in self._probes))
        names = [probe.name for probe in self._probes]
        stops = "the process is about to stop" if self._is_draining else None
        return {"process": stops, **dict(zip(names, found, strict=True))}

    def close(self) -> None:
        """Close what was opened for the probes."""
        self._database.dispose()


def check_database(database: Database) -> None:
    """Make sure that the database answers, and has the schema of this program.

    Raises:
        ProblemError: it does not, or has another.
    """
    with database.reading() as session:
        fault = schema_fault(session.connection())
    if fault is not None:
        detail = f"the schema {fault}"
        raise ProblemError(detail, "not-ready")


def readiness_of(request: Request) -> Readiness:
    """Of the application that serves this request."""
    return cast("Readiness", request.app.state.readiness)


ReadinessDep = Annotated[Readiness, Depends(readiness_of)]
