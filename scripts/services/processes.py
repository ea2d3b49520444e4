"""Programs that outlive this one, each known for ever by its pid and start time.

A pid alone is used again sooner or later; with the start time it names one process, so
nothing is ever signalled that was not started here.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEP_SECONDS = 0.05
LAST_LINES = 20
"""How much of a log an error message quotes."""


class ServiceError(Exception):
    """A service could not be installed, started or stopped; says what to do."""


@dataclass(frozen=True)
class User:
    """Who runs a program: a name and a group known to the system."""

    name: str
    group: int


@dataclass(frozen=True)
class Process:
    """One running program."""

    pid: int
    started: int
    """Clock ticks after the machine's start."""

    def alive(self) -> bool:
        """Whether this very process still runs."""
        child = _children.get(self.pid)
        if child is not None:
            child.poll()  # else it stays as a zombie of this process
        return _start_time(self.pid) == self.started


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Those that this process started itself, and must wait for."""


def spawn(
    command: list[str],
    *,
    pid_file: Path,
    log: Path,
    environment: Mapping[str, str],
    user: User | None = None,
) -> Process:
    """Start a program in a session of its own and note its pid.

    Args:
        command: program and arguments; it runs in the directory of `pid_file`.
        pid_file: gets `PID STARTED`.
        log: gets what the program says, after what is there.
        environment: all that it sees of the environment.
        user: whom it runs as; nobody else than this process's user if None.

    Raises:
        ServiceError: the program ended at once.
    """
    with log.open("ab") as stream:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=pid_file.parent,
            env=dict(environment),
            start_new_session=True,
            **identity(user),
        )
    _children[child.pid] = child
    started = _start_time(child.pid)
    if started is None:
        raise ServiceError(f"{command[0]} ended at once:\n{last_lines(log)}")
    pid_file.write_text(f"{child.pid} {started}\n", encoding="ascii")
    return Process(child.pid, started)


def identity(user: User | None) -> dict[str, Any]:
    """Arguments of `subprocess` for a program that runs as somebody."""
    if user is None:
        return {}
    return {"user": user.name, "group": user.group, "extra_groups": []}


def read_process(pid_file: Path) -> Process | None:
    """The process that a file names, running or not; None without a whole file."""
    try:
        pid, started = pid_file.read_text(encoding="ascii").split()
        return Process(int(pid), int(started))
    except (FileNotFoundError, ValueError):
        return None


def stop(
    processes: Iterable[Process], *, first: signal.Signals, patience: float
) -> None:
    """Signal processes, wait, and kill those that are still there.

    Args:
        processes: those that no longer run are passed over.
        first: the signal that asks them to end.
        patience: seconds until SIGKILL.

    Raises:
        ServiceError: one cannot be killed.
    """
    running = [process for process in processes if process.alive()]
    for number, seconds in ((first, patience), (signal.SIGKILL, 10)):
        for process in running:
            try:
                os.kill(process.pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + seconds
        while running and time.monotonic() < deadline:
            time.sleep(STEP_SECONDS)
            running = [process for process in running if process.alive()]
    if running:
        raise ServiceError(f"process {running[0].pid} does not end; kill it by hand")


def wait_until(
    ready: Callable[[], bool],
    *,
    what: str,
    seconds: float,
    processes: Mapping[Path, Process],
) -> None:
    """Wait for a service to answer.

    Args:
        ready: asked again and again.
        what: is named in errors.
        seconds: how long to wait.
        processes: log file and process of all that must stay alive meanwhile.

    Raises:
        ServiceError: one of the processes ended, or time is up.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        for log, process in processes.items():
            if not process.alive():
                raise ServiceError(f"{what} ended ({log}):\n{last_lines(log)}")
        if time.monotonic() > deadline:
            logs = ", ".join(str(log) for log in processes)
            raise ServiceError(f"{what} does not answer after {seconds:g} s ({logs})")
        time.sleep(STEP_SECONDS)


def has_ended(pid: int) -> bool:
    """Whether nothing runs under a pid; it may not be free again."""
    return _start_time(pid) is None


def last_lines(log: Path) -> str:
    """The end of a log, for an error message."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LAST_LINES:])


def _start_time(pid: int) -> int | None:
    """Start of a process in clock ticks; None if it does not run."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything; state and start time come after it.
    state, *fields = text.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else int(fields[18])
