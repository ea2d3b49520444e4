"""Where blobs live: what publishing and downloads ask of any store.

Bytes arrive under a *staging* key of their upload; `promote` gives them the final key
that their digest names. Whoever publishes hashes the final blob again: nothing here is
taken on trust. Errors of the disk or the network leave a store as `StorageError`, never
as `OSError` or a vendor's.

A store that clients can reach themselves has a `direct` side: addresses to send to and
to download from. None of them can write a final key, since an address outlives every
check of what it wrote.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol
from uuid import UUID

from safegene.artifact.digest import Digest
from safegene_registry.problems import ProblemError

RETRY_SECONDS = 30
"""What a sender is told to wait when the disk is full."""


class StorageError(ProblemError):
    """The store cannot take or give bytes right now; nothing was half kept."""

    def __init__(self, detail: str, *, retry_seconds: int = RETRY_SECONDS) -> None:
        super().__init__(
            detail, "storage-unavailable", headers={"Retry-After": str(retry_seconds)}
        )


class BlobMissingError(StorageError):
    """There is nothing under a final key; under a published one there should be."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"The blob {digest} is missing; tell the operator.")


class StagedBlobMissingError(Exception):
    """The upload's staging area does not (or no longer) hold the blob."""


class StagedBlobWrongError(Exception):
    """What is staged under a digest are other bytes."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(str(digest))
        self.digest = digest


class BlobWriter(Protocol):
    """Takes the chunks of one blob and verifies them while they come."""

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""

    def finish(self) -> None:
        """Make the blob staged and durable.

        Raises:
            DigestMismatchError: the bytes are not those the digest names.
            SizeMismatchError: there are more or fewer than promised.
            StagedBlobMissingError: the upload was ended meanwhile.
        """

    def abort(self) -> None:
        """Leave nothing behind; harmless after `finish`."""


@dataclass(frozen=True, slots=True)
class FoundBlob:
    """What is there under a final key."""

    size: int
    tag: str
    """Two looks that find different tags have seen different objects."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Something that is kept in the final place, right or wrong."""

    key: str
    digest: Digest | None
    """Of the blob whose final key this is; None: it is no final key."""
    size: int
    modified: datetime


class BlobReader(Protocol):
    """Reads a blob front to back."""

    @property
    def tag(self) -> str:
        """Of the object that is being read, as in `FoundBlob`."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end.

        Raises:
            OSError: they cannot be read.
            StorageError: likewise.
        """


@dataclass(frozen=True, slots=True)
class Address:
    """Where a client sends something to, with what headers, for a while."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Multipart:
    """A blob that is sent in parts."""

    id: str
    """What the store calls the transfer."""
    part_bytes: int
    """Size of every part but the last."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a blob."""

    number: int
    offset: int
    size: int
    present: bool = False
    """Whether the store is known to have it."""


def cut(size: int, part_bytes: int) -> list[Part]:
    """The parts of a blob of `size` bytes; all but the last have `part_bytes`."""
    return [
        Part(number, start, min(part_bytes, size - start))
        for number, start in enumerate(range(0, size, part_bytes), 1)
    ]


OpenFile = Callable[[Digest], AbstractContextManager[BinaryIO]]


class DirectTransfer(Protocol):
    """What clients do with the store itself, without the registry in between."""

    def part_bytes(self, size: int) -> int | None:
        """Size of the parts that a blob of this size is sent in; None: in one go."""

    def address(self, upload_id: UUID, digest: Digest, size: int) -> Address:
        """Where to PUT a whole blob; it takes these bytes only, if the store checks."""

    def begin_parts(
        self, upload_id: UUID, digest: Digest, part_bytes: int
    ) -> Multipart:
        """Begin to receive a blob in parts."""

    def abort_parts(self, upload_id: UUID, digest: Digest, parts: Multipart) -> None:
        """End a transfer in parts and drop what came."""

    def parts(
        self, upload_id: UUID, digest: Digest, size: int, parts: Multipart
    ) -> list[Part]:
        """Every part, and which of them are there.

        Raises:
            StagedBlobMissingError: the store knows the transfer no more.
        """

    def part_address(
        self,
        upload_id: UUID,
        digest: Digest,
        parts: Multipart,
        part: Part,
        checksum: Digest,
    ) -> Address:
        """Where to PUT a part; it takes these bytes only, if the store checks.

        Args:
            upload_id: of the upload.
            digest: of the blob.
            parts: the transfer.
            part: one of its parts, as `parts` or `cut` told it.
            checksum: sha256 of the part.
        """

    def assemble(
        self, upload_id: UUID, digest: Digest, size: int, parts: Multipart
    ) -> bool:
        """Make the staged blob of its parts; False while some are missing.

        Raises:
            StagedBlobMissingError: the store knows the transfer no more.
        """

    def download(
        self, digest: Digest, *, name: str, media_type: str, cache_control: str
    ) -> str:
        """Where to GET a final blob.

        Args:
            digest: names the blob.
            name: what a browser would save it as.
            media_type: as which it is sent.
            cache_control: how it may be cached.
        """


class BlobStore(Protocol):
    """What publishing and downloads need of a store."""

    @property
    def open_file(self) -> OpenFile | None:
        """Opens a final blob as a file; None where blobs are none.

        Raises:
            BlobMissingError: when called: it is not there.
        """

    @property
    def direct(self) -> DirectTransfer | None:
        """For clients themselves; None: all bytes go through the registry."""

    def ping(self) -> None:
        """Make sure that the store is there, and that a disk of ours takes bytes.

        Raises:
            StorageError: it is not, not open to us, or full.
        """

    def receive(self, upload_id: UUID, digest: Digest, size: int) -> BlobWriter:
        """Begin to receive one blob into the upload's staging area."""

    def staged(self, upload_id: UUID) -> Mapping[Digest, int]:
        """The blobs that the upload has received whole, with their sizes."""

    def promote(self, upload_id: UUID, digest: Digest) -> None:
        """Give a staged blob its final key; the staged copy stays until `discard`.

        What is under the final key already may be left, right or wrong (`replace` mends
        it); the staged bytes are then hashed all the same. Who knows a digest and has
        not sent its bytes must not get them.

        Raises:
            StagedBlobMissingError: there is no such staged blob.
            StagedBlobWrongError: it holds other bytes, and the store has noticed.
        """

    def replace(self, upload_id: UUID, digest: Digest) -> None:
        """Put a staged blob in the place of a final one that was found wrong.

        The staged bytes are hashed where nobody can change them any more, so that a
        right blob is never replaced by a wrong one.

        Raises:
            StagedBlobMissingError: there is no such staged blob.
            StagedBlobWrongError: it holds other bytes, too.
        """

    def unstage(self, upload_id: UUID, digest: Digest) -> None:
        """Remove one staged blob, so that it counts as missing."""

    def promoted(self, upload_id: UUID) -> list[Digest]:
        """Blobs staged here whose final blob this upload was the last to write.

        Empty once the staging area is discarded.
        """

    def untouched(self, before: datetime) -> Iterator[Digest]:
        """Final blobs that no upload has written since `before`."""

    def remove(
        self,
        digest: Digest,
        *,
        before: datetime | None = None,
        deadline: float | None = None,
    ) -> int | None:
        """Remove a final blob, for good.

        `removals` alone calls it, having seen to it that no version comes to name it.

        Args:
            digest: names the blob.
            before: leave it if an upload has written it since.
            deadline: by the clock of `time.monotonic`; nothing is asked of a server
                after it.

        Returns:
            Its size, None when it was left or was not there.

        Raises:
            StorageError: it cannot be done now, or not in time.
        """

    def find(self, digest: Digest) -> FoundBlob | None:
        """What is under the final key, None when nothing is."""

    def open(
        self, digest: Digest, *, start: int = 0
    ) -> AbstractContextManager[BlobReader]:
        """Read the final blob from byte `start` on, for as long as the context.

        Raises:
            BlobMissingError: it is not there.
        """

    def check(self, digest: Digest, size: int) -> None:
        """Make sure that a published blob can be opened.

        Raises:
            StorageError: it is not there, or not of its size.
        """

    def inventory(self) -> Iterator[StoredObject]:
        """Everything in the final place, for who checks the whole store."""

    def set_aside(self, key: str) -> str | None:
        """Move what `inventory` has listed out of the final place, losing nothing.

        Returns:
            Where it is kept now; None when it was replaced meanwhile, or is not there.

        Raises:
            StorageError: it cannot be done now; the object is where it was.
        """

    def discard(self, upload_id: UUID) -> None:
        """Remove the upload's staging area, if there is one."""

    def discard_strays(
        self, known: Collection[UUID], before: datetime, *, dry_run: bool = False
    ) -> list[str]:
        """Remove what no known upload has left half done, untouched since `before`.

        Returns:
            The names of what was removed, or would be.
        """
