"""A registry of the demo's own: `safegene-registry serve` with no configuration."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60


@dataclass(frozen=True)
class RunningRegistry:
    """Where the registry listens and a token that may publish."""

    url: str
    token: str


@contextmanager
def embedded_registry(data: Path) -> Iterator[RunningRegistry]:
    """Start a registry on a free port of this machine; stop it at the end.

    Raises:
        RuntimeError: it did not come up; the message holds the last lines of its log.
    """
    command = [sys.executable, "-m", "safegene_registry"]
    place = ["--data", str(data)]
    create = ["token", "create", *place, "--name", "demo", "--scope", "publish"]
    token = subprocess.run(
        [*command, *create], check=True, capture_output=True, text=True
    ).stdout.strip()
    ready = data / "ready.json"
    ready.unlink(missing_ok=True)
    log_path = data / "registry.log"
    serve = ["serve", *place, "--port", "0", "--ready-file", str(ready)]
    with log_path.open("w") as log:
        process = subprocess.Popen([*command, *serve], stdout=log, stderr=log)
        try:
            yield RunningRegistry(_wait(process, ready, log_path), token)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(process: "subprocess.Popen[bytes]", ready: Path, log_path: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if ready.is_file():
            return str(json.loads(ready.read_text())["url"])
        time.sleep(0.05)
    tail = "\n".join(log_path.read_text().splitlines()[-10:])
    message = f"the demo's registry did not start within {START_SECONDS} s:\n{tail}"
    raise RuntimeError(message)
