"""Where blobs live: what publishing and downloads ask of any store.

Bytes arrive under a *staging* key of their upload and are verified while they arrive;
`promote` gives them the final key that their digest names. Whoever publishes hashes the
final blob again: nothing here is taken on trust. Errors of the disk leave a store as
`StorageError`, never as `OSError`.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from safegene.artifact.digest import Digest
from safegene_registry.problems import ProblemError

RETRY_SECONDS = 30
"""What a sender is told to wait when the disk is full."""


class StorageError(ProblemError):
    """The store cannot take or give bytes right now; nothing was half kept."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            detail, "storage-unavailable", headers={"Retry-After": str(RETRY_SECONDS)}
        )


class BlobMissingError(StorageError):
    """There is nothing under a final key; under a published one there should be."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"The blob {digest} is missing; tell the operator.")


class StagedBlobMissingError(Exception):
    """The upload's staging area does not (or no longer) hold the blob."""


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


class BlobStore(Protocol):
    """What publishing and downloads need of a store; an S3 store can satisfy it."""

    def receive(self, upload_id: UUID, digest: Digest, size: int) -> BlobWriter:
        """Begin to receive one blob into the upload's staging area."""

    def staged(self, upload_id: UUID) -> Mapping[Digest, int]:
        """The blobs that the upload has received whole, with their sizes."""

    def promote(self, upload_id: UUID, digest: Digest) -> None:
        """Give a staged blob its final key; the staged copy stays until `discard`.

        From now on the final blob is this upload's own and young: see `promoted` and
        `untouched`.

        Raises:
            StagedBlobMissingError: there is no such staged blob.
        """

    def promoted(self, upload_id: UUID) -> list[Digest]:
        """Blobs staged here whose final blob this upload promoted, nobody else since.

        Empty once the staging area is discarded.
        """

    def untouched(self, before: datetime) -> Iterator[Digest]:
        """Final blobs that no upload has promoted since `before`."""

    def remove(self, digest: Digest, *, before: datetime | None = None) -> int | None:
        """Remove a final blob, for good.

        Whoever calls it holds the database's write transaction and has seen there that
        no published version names the blob: `sweeping` says why that is enough.

        Args:
            digest: names the blob.
            before: leave it if somebody has promoted it since.

        Returns:
            Its size, None when it was left or was not there.
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

    def discard(self, upload_id: UUID) -> None:
        """Remove the upload's staging area, if there is one."""

    def discard_strays(
        self, known: Collection[UUID], before: datetime, *, dry_run: bool = False
    ) -> list[str]:
        """Remove what no known upload has left half done, untouched since `before`.

        Returns:
            The names of what was removed, or would be.
        """
