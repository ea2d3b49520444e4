"""Replicas that get SIGKILL in the middle of their work, for tests.

`Nursery` runs this file as a program that imports the registry once; each replica is
forked from it and serves at once, which saves a start two seconds. In a replica one
function may be wrapped so that the process kills itself at a call of it, as the kernel
or a failing machine would. All else is the real server.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from scripts.services.processes import has_ended

START_SECONDS = 120
"""How long a replica may take until it answers, on a busy machine."""

PRELOADED = ("safegene_registry.server", "safegene_registry.s3.store")


@dataclass(frozen=True)
class Call:
    """A call in a replica that is its last."""

    when: str
    """`before` or `after` the function does its work."""
    function: str
    """`module:name`, as the callers look it up; below `safegene_registry`."""
    number: int = 1
    """Which of the calls in one thread, which serves one request."""
    callers: int = 2
    """Threads that have to get there; the first ones wait there for the last."""


@dataclass(frozen=True)
class Replica:
    """A replica that answers, until it does not."""

    url: str
    pid: int
    log: Path

    def kill(self) -> None:
        """Kill it from outside."""
        os.kill(self.pid, signal.SIGKILL)

    def wait_until_dead(self) -> None:
        """Wait for the end that is certain to come."""
        deadline = time.monotonic() + START_SECONDS
        while not has_ended(self.pid):
            if time.monotonic() > deadline:
                said = self.log.read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"the replica goes on living:\n{said}")
            time.sleep(0.02)


class Nursery:
    """Forks replicas from a program that has imported everything.

    Args:
        program: the running program.
        environment: settings of every replica.
    """

    def __init__(
        self, program: "subprocess.Popen[str]", environment: Mapping[str, str]
    ) -> None:
        self._program = program
        self._environment = dict(environment)

    @contextmanager
    def replica(
        self,
        directory: Path,
        call: Call | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Replica]:
        """Run a replica for the length of the block, or shorter.

        Args:
            directory: an empty one.
            call: that kills it.
            environment: further settings.
        """
        ready, log = directory / "ready.json", directory / "log"
        order = {
            "environment": {**self._environment, **(environment or {})},
            "arguments": ["serve", "--port", "0", "--ready-file", str(ready)],
            "log": str(log),
            "call": asdict(call) if call else None,
        }
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(order) + "\n")
        self._program.stdin.flush()
        pid = int(self._program.stdout.readline())
        try:
            yield Replica(_url(pid, ready, log), pid, log)
        finally:
            if not has_ended(pid):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def nursery(environment: Mapping[str, str]) -> Iterator[Nursery]:
    """Run a nursery for the length of the block; no replica outlives it."""
    # The name it was imported by says nothing to another Python, the paths do.
    paths = os.pathsep.join(path for path in sys.path if path)
    program = subprocess.Popen(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        yield Nursery(program, environment)


def _url(pid: int, ready: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if has_ended(pid) or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the replica did not start:\n{said}")
        time.sleep(0.02)
    url: str = json.loads(ready.read_bytes())["url"]
    return url


# The program


def main() -> None:
    """Fork a replica for every line, until there are no more lines."""
    for module in PRELOADED:
        import_module(module)
    import_module("safegene_registry.s3.client").vendor_session()
    children: set[int] = set()
    for line in sys.stdin:
        # A child that has ended and was not waited for keeps its pid.
        children = {pid for pid in children if os.waitpid(pid, os.WNOHANG)[0] == 0}
        pid = os.fork()
        if pid == 0:
            serve(json.loads(line))
        children.add(pid)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def serve(order: Mapping[str, Any]) -> NoReturn:
    """Be a replica."""
    os.environ.update(order["environment"])
    with Path(order["log"]).open("ab") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    if order["call"]:
        doom(Call(**order["call"]))
    cli = import_module("safegene_registry.__main__").cli
    cli(order["arguments"], standalone_mode=False)
    os._exit(0)


def doom(call: Call) -> None:
    """Let this process end at a call."""
    module, _, path = call.function.partition(":")
    *owners, name = path.split(".")
    holder: Any = import_module(f"safegene_registry.{module}")
    for owner in owners:
        holder = getattr(holder, owner)
    setattr(holder, name, ending_at(call, getattr(holder, name)))


def ending_at(call: Call, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, and the end."""
    counts = threading.local()
    arrived: list[None] = []
    lock = threading.Lock()

    def arrive() -> None:
        with lock:
            arrived.append(None)
            if len(arrived) == call.callers:
                sys.stdout.write(f"killed {call.when} {call.function}\n")
                sys.stdout.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait()

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:
        counts.calls = getattr(counts, "calls", 0) + 1
        is_last = counts.calls == call.number
        if is_last and call.when == "before":
            arrive()
        result = function(*args, **options)
        if is_last and call.when == "after":
            arrive()
        return result

    return wrapped


if __name__ == "__main__":
    main()
