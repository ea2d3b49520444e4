"""A real registry in a process of its own, as an operator starts it.

`registry_server` is a fixture for any test that needs one; import it in a `conftest.py`
or use `running_registry` directly.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.backends import NewBackend, environment_of

START_SECONDS = 120
"""Importing the service takes a second, on a busy machine of two cores much longer."""

COMMAND = (sys.executable, "-m", "safegene_registry")


@dataclass(frozen=True)
class RunningRegistry:
    """A registry that answers."""

    url: str
    token: str
    """May publish."""
    data: Path
    """Its data directory."""
    process: subprocess.Popen[bytes]
    log: Path
    """What it wrote to standard error."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it was started with: where it keeps things, if not in `data`."""

    def token_of(self, account: str | None = None, *, scope: str = "publish") -> str:
        """A new token, as `make_token` makes them."""
        return make_token(
            self.data, scope=scope, account=account, environment=self.environment
        )

    def operate(self, *arguments: str) -> None:
        """Run a command of `safegene-registry` on it; the first words name it."""
        subprocess.run(
            [*COMMAND, *arguments, "--data", self.data],
            env={**os.environ, **self.environment},
            check=True,
            capture_output=True,
        )


@contextmanager
def running_registry(
    directory: Path,
    *,
    data: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningRegistry]:
    """Start `safegene-registry serve` on a free port, and stop it at the end.

    Args:
        directory: an existing directory; the data goes below it.
        data: where the data goes instead, as beside another replica.
        environment: further environment variables.
    """
    ready, log = directory / "ready.json", directory / "log"
    data = data or directory / "data"
    ready.unlink(missing_ok=True)
    env = {**os.environ, **(environment or {})}
    token = make_token(data, environment=environment)
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--data", data, "--port", "0", "--ready-file", ready],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=stream,
        )
    try:
        url = wait_until_ready(process, ready, log)
        yield RunningRegistry(url, token, data, process, log, environment or {})
    finally:
        stop(process)


def make_token(
    data: Path,
    *,
    scope: str = "publish",
    account: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """A new token for the registry in `data`, which is made if need be.

    Args:
        data: directory of the registry.
        scope: of the token.
        account: whose it is; None: that of the one who runs the command.
        environment: further environment variables.
    """
    result = subprocess.run(
        [
            *(*COMMAND, "token", "create", "--data", data),
            *("--name", "tests", "--scope", scope),
            *(() if account is None else ("--account", account)),
        ],
        env={**os.environ, **(environment or {})},
        check=True,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    return result.stdout.strip()


def wait_until_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> str:
    """The URL, once the server answers there."""
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the registry did not start:\n{said}")
        time.sleep(0.05)
    url: str = json.loads(ready.read_bytes())["url"]
    return url


def stop(process: subprocess.Popen[bytes]) -> int:
    """Stop as an operator does; the exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


@pytest.fixture(scope="session")
def registry_server(
    tmp_path_factory: pytest.TempPathFactory, new_first_backend: NewBackend
) -> Iterator[RunningRegistry]:
    """One registry for the whole session: use a namespace of your own."""
    with served(tmp_path_factory, new_first_backend) as registry:
        yield registry


@pytest.fixture(scope="session")
def each_registry_server(
    tmp_path_factory: pytest.TempPathFactory, new_backend: NewBackend
) -> Iterator[RunningRegistry]:
    """The same on each kind of backend, for tests that lean on it."""
    with served(tmp_path_factory, new_backend) as registry:
        yield registry


@contextmanager
def served(
    tmp_path_factory: pytest.TempPathFactory, new_backend: NewBackend
) -> Iterator[RunningRegistry]:
    """A registry that runs on new parts."""
    directory = tmp_path_factory.mktemp("registry")
    with (
        new_backend() as parts,
        running_registry(directory, environment=environment_of(parts)) as registry,
    ):
        yield registry
