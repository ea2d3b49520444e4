"""Disks that are full for real: small file systems, where one may be mounted."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LARGEST_FILE = 300_000
"""Bytes; of a process that the kernel lets write no larger files."""


@dataclass(frozen=True)
class SmallDisk:
    """A directory that takes little."""

    place: Path
    is_own: bool
    """Whether it is a file system of its own; else a limit on the process stands in for
    it. Both are real write errors."""

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let it take nothing more of this process for a while."""
        if not self.is_own:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, before[1]))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            return
        filler = self.place / "filler"
        try:
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(bytes(1 << 16)):
                    pass
            yield
        finally:
            filler.unlink()


def limit_file_size() -> None:
    """Stand in for a small disk, in a process that is about to begin."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[SmallDisk]:
    """A tmpfs where we may mount one, else a directory like any other.

    Args:
        place: where; made.
        size: as `mount` spells it.
    """
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "safegene-test", str(place)]
    try:
        is_own = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_own = False
    try:
        yield SmallDisk(place, is_own)
    finally:
        if is_own:
            subprocess.run(["umount", str(place)], check=True)
