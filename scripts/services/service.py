"""What every service has: a directory, a lasting state, processes, an environment."""

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import string
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from scripts.services.processes import (
    Process,
    ServiceError,
    User,
    read_process,
    spawn,
    stop,
    wait_until,
)

PORTS = range(20000, 32000)
"""Below those that the kernel gives to outgoing connections, so that none of these
takes a port between our choice and the server's use of it."""


class Service(ABC):
    """One server on 127.0.0.1.

    Its directory holds `state.json` (ports and keys, written when the data is made),
    `data`, a log and a pid file of each process, and, while it runs, `env`.

    Args:
        directory: made if need be, its parents included.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    patience: ClassVar[float] = 10
    """Seconds between the stop signal and SIGKILL."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.place = directory
        """Where data, logs and pid files are."""
        self.user: User | None = None

    @abstractmethod
    def install(self) -> None:
        """Make sure that the programs are there, and find them."""

    @abstractmethod
    def make(self) -> dict[str, str]:
        """Make the data from nothing; the state to keep, ports included."""

    @abstractmethod
    def launch(self) -> None:
        """Start the first process; need not wait for it."""

    @abstractmethod
    def complete(self) -> None:
        """Wait until the service answers, starting what else it needs."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """What tells a program where the service is."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the service can be used at this moment."""

    @property
    def state(self) -> dict[str, str]:
        """Ports and keys; empty before the data was made."""
        try:
            text = (self.directory / "state.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        state: dict[str, str] = json.loads(text)
        return state

    @property
    def processes(self) -> dict[Path, Process]:
        """Log and process for every pid file."""
        found = {file: read_process(file) for file in self.place.glob("*.pid")}
        return {
            file.with_suffix(".log"): process
            for file, process in found.items()
            if process is not None
        }

    def running(self) -> bool:
        """Whether it was started, and still runs and answers."""
        if not (self.directory / "env").exists():
            return False
        processes = self.processes.values()
        alive = bool(processes) and all(process.alive() for process in processes)
        return alive and self.answers()

    def begin(self) -> None:
        """First half of a start; returns while the server gets ready.

        Raises:
            ServiceError: says what failed.
        """
        self.stop()  # what a start that was cut short left
        if not self.state:
            self.clear()
            self.directory.mkdir(parents=True, exist_ok=True)
            write_privately(self.directory / "state.json", json.dumps(self.make()))
        for key, port in self.state.items():
            if key.endswith("port") and not _is_free(int(port)):
                raise ServiceError(
                    f"{self.name}: port {port} is taken by another program; remove the "
                    "data to choose another: make services-down WIPE=1"
                )
        self.launch()

    def finish(self) -> None:
        """Second half of a start: wait, then say where the service is.

        Raises:
            ServiceError: says what failed.
        """
        self.complete()
        lines = [f"export {key}={value}\n" for key, value in self.environment().items()]
        write_privately(self.directory / "env", "".join(lines))

    def stop(self, *, kill: bool = False) -> None:
        """Stop it; no error if it does not run.

        Args:
            kill: at once, as when its data is not needed again.
        """
        (self.directory / "env").unlink(missing_ok=True)
        first = signal.SIGKILL if kill else self.stop_signal
        stop(self.processes.values(), first=first, patience=self.patience)
        for file in self.place.glob("*.pid"):
            file.unlink()
        for file in self.litter():
            file.unlink(missing_ok=True)

    def litter(self) -> list[Path]:
        """Files outside its directory that a killed server leaves."""
        return []

    def clear(self) -> None:
        """Remove all of a stopped service."""
        for place in {self.place, self.directory}:
            shutil.rmtree(place, ignore_errors=True)

    def spawn(self, program: str, command: list[str], **environment: str) -> None:
        """Start one process, with a small environment of its own."""
        spawn(
            command,
            pid_file=self.place / f"{program}.pid",
            log=self.place / f"{program}.log",
            environment={**self.small_environment(), **environment},
            user=self.user,
        )

    def small_environment(self) -> dict[str, str]:
        """The caller's settings and keys must not change what a server does."""
        return {
            "HOME": str(self.place),
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ.get("PATH", os.defpath),
        }

    def wait_until_it_answers(self, seconds: float = 60) -> None:
        """Wait for `answers`.

        Raises:
            ServiceError: a process ended, or time is up.
        """
        wait_until(
            self.answers, what=self.name, seconds=seconds, processes=self.processes
        )


def free_ports(count: int) -> list[str]:
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket()
            held.append(candidate)
            try:
                candidate.bind(("127.0.0.1", secrets.choice(PORTS)))
            except OSError:
                held.pop().close()
        return [str(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def random_key(length: int) -> str:
    """Letters and digits only, so that no URL or shell needs quotes."""
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(length))


def answers_http(port: str, path: str, *, below: int) -> bool:
    """Whether a server on 127.0.0.1 answers with a status below a number."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < below
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def write_privately(file: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    draft = file.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections still fade away can be taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
