"""The content-addressed cache that all processes of a user share.

    blobs/sha256/<aa>/<hex>          verified bytes under their digest, read-only
    vectors/<namespace>/<name>/<hex> a version as a directory, hard links to its blobs
    partial/                         downloads under way, and nothing that is ever used
    locks/                           one lock a digest

Nothing is visible before it was verified, and it is verified again on every read: what
was damaged meanwhile is dropped and fetched anew. Stable.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from filelock import FileLock

from safegene.artifact.bundle import read_manifest, verify_directory
from safegene.artifact.digest import Digest, digest_file
from safegene.artifact.manifest import MANIFEST_NAME, FileEntry, Manifest
from safegene.artifact.reference import VectorName
from safegene.errors import ArtifactError
from safegene_client.storage import storage_errors

READ_ONLY = 0o444
DIRECTORY = 0o755
MAX_DONORS = 8
"""Older versions that are looked at for bytes to reuse, the newest here first."""

Fetch = Callable[[Path], None]
"""Completes a partial file and proves it, or raises."""


class Cache:
    """Verified bytes on this machine.

    Args:
        root: made when first written to; may be shared by any number of processes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, digest: Digest, size: int) -> Path | None:
        """The file of a blob, proved anew; None when it is not here or was damaged.

        Raises:
            LocalStorageError: it cannot be read.
        """
        path = self._blob_path(digest)
        with storage_errors(path):
            if not path.is_file():
                return None
            if digest_file(path) == (digest, size):
                return path
            path.unlink(missing_ok=True)
        return None

    def add_blob(self, digest: Digest, size: int, fetch: Fetch) -> Path:
        """The file of a blob, fetched if it is not here; one process fetches it.

        Raises:
            LocalStorageError: the disk is full or not writable; nothing is left.
        """
        path = self._blob_path(digest)
        with self._lock(digest):
            found = self.blob(digest, size)
            if found is not None:
                return found
            partial = self._made(self.root / "partial") / digest.hex
            fetch(partial)
            with storage_errors(path):
                partial.chmod(READ_ONLY)
                self._made(path.parent)
                partial.replace(path)
        return path

    def version(self, vector: VectorName, digest: Digest) -> Path | None:
        """A version's directory, every byte proved anew.

        Returns:
            None when it is not here, or was damaged and has been dropped.
        """
        path = self._version_path(vector, digest)
        if not path.is_dir():
            return None
        with self._lock(digest):
            return self._proved(path, digest)

    def add_version(self, manifest: Manifest) -> Path:
        """Lay out a version whose blobs are all here.

        Raises:
            ArtifactError: the files do not agree with the manifest.
            LocalStorageError: the disk is full or not writable; nothing is left.
        """
        path = self._version_path(manifest.vector, manifest.digest)
        with self._lock(manifest.digest):
            if found := self._proved(path, manifest.digest):
                return found
            with self._workspace() as work:
                for entry in manifest.files:
                    blob = self._blob_path(Digest.parse(entry.digest))
                    _link(blob, work / entry.path)
                (work / MANIFEST_NAME).write_bytes(manifest.to_bytes())
                (work / MANIFEST_NAME).chmod(READ_ONLY)
                # Every blob was proved when it was added; what is left is whether the
                # files agree with each other.
                verify_directory(work, full=False)
                work.chmod(DIRECTORY)
                self._made(path.parent)
                work.rename(path)
        return path

    def older_versions(self, vector: VectorName) -> Iterator[tuple[Path, Manifest]]:
        """Versions of a vector that lie here, the latest to come first; a few."""
        home = self.root / "vectors" / vector.namespace / vector.name
        with storage_errors(home):
            found = [entry for entry in home.glob("*") if entry.is_dir()]
            found.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
        for path in islice(found, MAX_DONORS):
            with suppress(ArtifactError):
                yield path, read_manifest(path)

    def _proved(self, path: Path, digest: Digest) -> Path | None:
        if not path.is_dir():
            return None
        with storage_errors(path):
            with suppress(ArtifactError):
                if verify_directory(path).digest == digest:
                    return path
            self._drop(path)
        return None

    def _drop(self, path: Path) -> None:
        """Take a damaged version away, and the damaged blobs it is linked to."""
        entries: tuple[FileEntry, ...] = ()
        with suppress(ArtifactError):
            entries = read_manifest(path).files
        with self._workspace() as work:
            # Renamed first: a process that reads it meanwhile sees all of it or none.
            path.rename(work / "damaged")
        for entry in entries:
            self.blob(Digest.parse(entry.digest), entry.size)

    def _blob_path(self, digest: Digest) -> Path:
        return self.root / "blobs" / "sha256" / digest.hex[:2] / digest.hex

    def _version_path(self, vector: VectorName, digest: Digest) -> Path:
        return self.root / "vectors" / vector.namespace / vector.name / digest.hex

    def _made(self, directory: Path) -> Path:
        with storage_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
        return directory

    @contextmanager
    def _lock(self, digest: Digest) -> Iterator[None]:
        lock = FileLock(self._made(self.root / "locks") / f"{digest.hex}.lock")
        with storage_errors(self.root):
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _workspace(self) -> Iterator[Path]:
        """A directory that is gone at the end unless it was renamed."""
        place = self._made(self.root / "partial")
        with storage_errors(place):
            work = Path(tempfile.mkdtemp(prefix="version-", dir=place))
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """Hard link a file, or copy it where the file system cannot link."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(READ_ONLY)
