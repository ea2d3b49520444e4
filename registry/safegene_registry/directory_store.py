"""The embedded blob store: a directory of one file system.

Every blob is written beside its place, flushed to the disk and renamed, so that a key
either holds the whole blob or does not exist, whatever crashes.
"""

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR
from tempfile import TemporaryFile
from typing import BinaryIO
from uuid import UUID, uuid4

from safegene.artifact.digest import Digest, VerifyingWriter, digest_file
from safegene_registry.storage import (
    BlobMissingError,
    BlobWriter,
    FoundBlob,
    StagedBlobMissingError,
    StagedBlobWrongError,
    StorageError,
    StoredObject,
)

HEX = re.compile(r"[0-9a-f]{64}")
"""Name of a whole blob; what is on its way has a longer one."""


TAG = ""
"""Of every blob: only verified bytes ever get a final name here, and they are the same
whichever upload they came with."""


PROBE_BYTES = 1 << 20
"""A disk that takes no more than this is full."""


@dataclass(frozen=True, slots=True)
class FileReader:
    """An open blob."""

    file: BinaryIO
    tag: str = TAG

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""
        return self.file.read(size)


class DirectoryBlobStore:
    """A `BlobStore` in one directory of one file system.

    Args:
        root: directory that holds `staging/` and `blobs/`; made when missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging_root = root / "staging"
        self.blob_root = root / "blobs" / "sha256"
        with translated_errors():
            self.staging_root.mkdir(parents=True, exist_ok=True)
            self.blob_root.mkdir(parents=True, exist_ok=True)

    direct = None
    """All bytes go through the registry."""

    def ping(self) -> None:
        """Make sure that the store is there, and that its disk takes bytes.

        They are not flushed: a disk gives space, or refuses it, when it is written to,
        and flushing would wait for all that is being received. A registry that is busy
        is ready.
        """
        with translated_errors("take bytes"):
            self.blob_root.stat()
            # It has no name, so that nothing is left of it whatever happens.
            with TemporaryFile(dir=self.staging_root) as file:
                file.write(bytes(PROBE_BYTES))

    def staged_path(self, upload_id: UUID, digest: Digest) -> Path:
        """Where an upload's blob is staged."""
        return self.staging_root / str(upload_id) / digest.hex

    def final_path(self, digest: Digest) -> Path:
        """Where a blob lives for good."""
        return self.blob_root / digest.hex[:2] / digest.hex

    def receive(self, upload_id: UUID, digest: Digest, size: int) -> BlobWriter:
        """Begin to receive one blob into the upload's staging area."""
        return FileBlobWriter(self.staged_path(upload_id, digest), digest, size)

    def staged(self, upload_id: UUID) -> dict[Digest, int]:
        """The blobs that the upload has received whole, with their sizes."""
        found = {}
        with translated_errors(), suppress(FileNotFoundError):
            for path in (self.staging_root / str(upload_id)).iterdir():
                if HEX.fullmatch(path.name):
                    found[Digest(path.name)] = path.stat().st_size
        return found

    def promote(self, upload_id: UUID, digest: Digest) -> None:
        """Give a staged blob its final key; the staged copy stays until `discard`.

        A hard link, so it costs no bytes. No writer can reach the shared bytes: they
        were renamed into place after their writer had closed them.
        """
        final = self.final_path(digest)
        link = final.with_name(f"{final.name}.{uuid4()}.part")
        staged = self.staged_path(upload_id, digest)
        with translated_errors():
            make_directory(final.parent)
            try:
                # First, so that the key never appears with the age of the staged blob.
                os.utime(staged)
                os.link(staged, link)
            except FileNotFoundError as error:
                raise StagedBlobMissingError(str(digest)) from error
            try:
                link.replace(final)
            finally:
                # Renaming over another link to the same bytes does nothing (POSIX).
                link.unlink(missing_ok=True)
            sync_directory(final.parent)

    def replace(self, upload_id: UUID, digest: Digest) -> None:
        """Put a staged blob in the place of a final one, once it is proved."""
        with translated_errors():
            try:
                found, _ = digest_file(self.staged_path(upload_id, digest))
            except FileNotFoundError as error:
                raise StagedBlobMissingError(str(digest)) from error
        if found != digest:
            raise StagedBlobWrongError(digest)
        self.promote(upload_id, digest)

    def unstage(self, upload_id: UUID, digest: Digest) -> None:
        """Remove one staged blob, so that it counts as missing."""
        with translated_errors():
            self.staged_path(upload_id, digest).unlink(missing_ok=True)

    def promoted(self, upload_id: UUID) -> list[Digest]:
        """Blobs staged here whose final blob this upload was the last to write.

        The final blob is a link to the staged one; who promotes later links his own.
        """
        staged = sorted(self.staged(upload_id))
        with translated_errors():
            return [digest for digest in staged if self.is_same(upload_id, digest)]

    def is_same(self, upload_id: UUID, digest: Digest) -> bool:
        """Whether the staged and the final blob are one file."""
        try:
            return self.staged_path(upload_id, digest).samefile(self.final_path(digest))
        except FileNotFoundError:
            return False

    def untouched(self, before: datetime) -> Iterator[Digest]:
        """Final blobs that no upload has written since `before`."""
        with translated_errors():
            for path in self.blob_root.glob("??/*"):
                if HEX.fullmatch(path.name) and is_older(path, before):
                    yield Digest(path.name)

    def remove(
        self,
        digest: Digest,
        *,
        before: datetime | None = None,
        deadline: float | None = None,
    ) -> int | None:
        """Remove a final blob, for good."""
        del deadline  # nothing here waits for a server
        path = self.final_path(digest)
        with translated_errors(), suppress(FileNotFoundError):
            if before is None or is_older(path, before):
                size = path.stat().st_size
                path.unlink()
                return size
        return None

    def find(self, digest: Digest) -> FoundBlob | None:
        """What is under the final key, None when nothing is."""
        with translated_errors():
            try:
                size = self.final_path(digest).stat().st_size
            except FileNotFoundError:
                return None
        return FoundBlob(size, TAG)

    @contextmanager
    def open(self, digest: Digest, *, start: int = 0) -> Iterator[FileReader]:
        """Read the final blob from byte `start` on, for as long as the context."""
        with self.open_file(digest) as file:
            with translated_errors():
                file.seek(start)
            yield FileReader(file)

    @contextmanager
    def open_file(self, digest: Digest) -> Iterator[BinaryIO]:
        """The final blob as a file, for as long as the context."""
        with translated_errors():
            try:
                file = self.final_path(digest).open("rb")
            except FileNotFoundError as error:
                raise BlobMissingError(digest) from error
        with file:
            yield file

    def check(self, digest: Digest, size: int) -> None:
        """Make sure that a published blob can be opened."""
        found = self.find(digest)
        if found is None or found.size != size:
            detail = f"The blob {digest} is missing or damaged; tell the operator."
            raise StorageError(detail)

    def inventory(self) -> Iterator[StoredObject]:
        """Everything in the final place."""
        with translated_errors():
            for path in self.blob_root.rglob("*"):
                with suppress(FileNotFoundError):
                    found = path.lstat()
                    if not S_ISDIR(found.st_mode):
                        modified = datetime.fromtimestamp(found.st_mtime, UTC)
                        key = str(path.relative_to(self.root))
                        digest = self.digest_at(path)
                        yield StoredObject(key, digest, found.st_size, modified)

    def digest_at(self, path: Path) -> Digest | None:
        """The blob whose final path this is."""
        digest = Digest(path.name) if HEX.fullmatch(path.name) else None
        return digest if digest and self.final_path(digest) == path else None

    def set_aside(self, key: str) -> str | None:
        """Move something out of the final place; a blob that proves right stays."""
        path = self.root / key
        kept = self.root / "quarantine" / f"{path.name}.{uuid4()}"
        with translated_errors():
            make_directory(kept.parent)
            try:
                path.rename(kept)
            except FileNotFoundError:
                return None
            sync_directory(path.parent)
            # Looked at where it is now, since it may have been mended before the move.
            digest = self.digest_at(path)
            if digest is not None and digest_file(kept)[0] == digest:
                with suppress(FileExistsError):
                    os.link(kept, path)
                kept.unlink()
                sync_directory(path.parent)
                return None
        return str(kept.relative_to(self.root))

    def discard(self, upload_id: UUID) -> None:
        """Remove the upload's staging area, if there is one."""
        # What cannot be removed now is a stray, and swept later.
        shutil.rmtree(self.staging_root / str(upload_id), ignore_errors=True)

    def discard_strays(
        self, known: Collection[UUID], before: datetime, *, dry_run: bool = False
    ) -> list[str]:
        """Remove what no known upload has left half done, untouched since `before`.

        That is staging areas, and links that a promotion had not yet renamed.
        """
        names = {str(upload_id) for upload_id in known}
        removed = []
        with translated_errors():
            for place in self.staging_root.iterdir():
                if place.name not in names and is_older(place, before):
                    removed.append(place.name)
                    if not dry_run:
                        remove_tree(place)
            for link in self.blob_root.glob("??/*.part"):
                if is_older(link, before):
                    removed.append(link.name)
                    if not dry_run:
                        link.unlink(missing_ok=True)
        return removed


class FileBlobWriter:
    """Writes one blob beside its staged path and renames it into place.

    Args:
        path: the staged path.
        digest: what the bytes must hash to.
        size: how many bytes must come.
    """

    def __init__(self, path: Path, digest: Digest, size: int) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.{uuid4()}.part")
        with translated_errors():
            make_directory(path.parent)
            self.file = self.part.open("xb")
        self.writer = VerifyingWriter(
            self.file, digest=digest, size=size, name=f"blob {digest}"
        )

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        with translated_errors():
            self.writer.write(chunk)

    def finish(self) -> None:
        """Make the blob staged and durable."""
        self.writer.finish()
        with translated_errors():
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            try:
                self.part.replace(self.path)
                sync_directory(self.path.parent)
            except FileNotFoundError as error:
                raise StagedBlobMissingError(self.path.name) from error

    def abort(self) -> None:
        """Leave nothing behind; harmless after `finish`."""
        # Closing flushes, which a full disk refuses; the file goes all the same.
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)


def remove_tree(place: Path) -> None:
    """Remove a directory and what is in it, or a file; what will not go stays."""
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):
        place.unlink(missing_ok=True)


def is_older(path: Path, moment: datetime) -> bool:
    """Whether a file was last touched before a moment; one that is gone was not."""
    try:
        return path.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False


def make_directory(directory: Path) -> None:
    """Make a directory that survives a power cut."""
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translated_errors(doing: str = "do this") -> Iterator[None]:
    """Turn what the disk says into what the caller is told."""
    try:
        yield
    except OSError as error:
        detail = f"The registry's blob store cannot {doing}: {error.strerror}."
        raise StorageError(detail) from error
