"""Starts and stops services, one caller at a time."""

import fcntl
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.services.ceph import Ceph
from scripts.services.install import ROOT, say
from scripts.services.postgres import Postgres
from scripts.services.processes import ServiceError
from scripts.services.seaweedfs import SeaweedFS
from scripts.services.service import Service, write_privately

DIRECTORY = ROOT / "build" / "services"
KINDS: dict[str, type[Service]] = {
    kind.name: kind for kind in (Postgres, SeaweedFS, Ceph)
}
LOCK_SECONDS = 600
"""Another caller may just install everything."""


def service(name: str, directory: Path = DIRECTORY) -> Service:
    """One of the services, running or not.

    Args:
        name: a key of `KINDS`.
        directory: where all services are.
    """
    return KINDS[name](directory / name)


def up(names: Collection[str], directory: Path = DIRECTORY) -> None:
    """Start those that do not run; all of them, or none of them anew.

    Args:
        names: keys of `KINDS`.
        directory: where all services are.

    Raises:
        ServiceError: one could not be started; what this call began was stopped.
    """
    with _locked(directory):
        services = [service(name, directory) for name in names]
        down_now = [each for each in services if not each.running()]
        for each in down_now:
            each.install()
        begin = time.monotonic()
        try:
            for each in down_now:
                each.begin()
            for each in down_now:
                each.finish()
                say(f"{each.name} answers after {time.monotonic() - begin:.1f} s")
        except BaseException:
            for each in down_now:
                each.stop()
            raise
        finally:
            _write_environment(directory)


def down(
    names: Collection[str], directory: Path = DIRECTORY, *, wipe: bool = False
) -> None:
    """Stop services; no error for one that does not run.

    Args:
        names: keys of `KINDS`.
        directory: where all services are.
        wipe: remove their data, too.

    Raises:
        ServiceError: one cannot be stopped.
    """
    if not directory.exists():
        return
    with _locked(directory):
        for name in names:
            each = service(name, directory)
            each.stop(kill=wipe)
            if wipe:
                each.clear()
        _write_environment(directory)


def _write_environment(directory: Path) -> None:
    """What runs, in one file that a shell can read."""
    files = [directory / name / "env" for name in KINDS]
    texts = [file.read_text(encoding="utf-8") for file in files if file.exists()]
    if texts:
        write_privately(directory / "env", "".join(texts))
    else:
        (directory / "env").unlink(missing_ok=True)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "lock"
    with file.open("w", encoding="utf-8") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = f"another start or stop holds {file}; end it first"
                    raise ServiceError(message) from None
                time.sleep(0.1)
        yield
