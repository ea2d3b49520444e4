"""Remembers uploads that were begun, so that the next try goes on with them.

One small file an upload, below the cache; it holds no secret. A process that was killed
leaves one, and so does one that gave up in the middle of something large. Where nothing
can be written nothing is remembered: publishing needs no cache.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from filelock import FileLock, Timeout

from safegene.artifact.digest import Digest


class UploadRecord:
    """Which upload of a manifest is under way with a registry.

    Args:
        path: the file; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> str | None:
        """The upload's id, None when there is none or the file makes no sense."""
        if self._path is None:
            return None
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(UUID(json.loads(self._path.read_bytes())["upload"]))
        return None

    def write(self, upload_id: str) -> None:
        """Remember an upload."""
        if self._path is None:
            return
        with suppress(OSError):
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps({"upload": upload_id}), encoding="utf-8")
            part.replace(self._path)

    def forget(self) -> None:
        """The upload has ended."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


@contextmanager
def upload_record(root: Path, url: str, digest: Digest) -> Iterator[UploadRecord]:
    """The record of one manifest with one registry, for one process at a time.

    A second process that publishes the same remembers nothing and disturbs nobody.

    Args:
        root: directory of all records; made if need be.
        url: of the registry.
        digest: of the manifest.
    """
    name = hashlib.sha256(f"{url} {digest}".encode()).hexdigest()
    lock = FileLock(root / f"{name}.lock")
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except (OSError, Timeout):
        yield UploadRecord(None)
        return
    try:
        yield UploadRecord(root / f"{name}.json")
    finally:
        lock.release()
