"""Where blobs live: what publishing and downloads ask of any store.

Bytes arrive under a *staging* key of their upload and are verified while they arrive;
`promote` gives them the final key that their digest names. Whoever publishes hashes the
final blob again: nothing here is taken on trust. Errors of the disk leave a store as
`StorageError`, never as `OSError`.
"""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol
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


class BlobStore(Protocol):
    """What publishing and downloads need of a store; an S3 store can satisfy it."""

    def receive(self, upload_id: UUID, digest: Digest, size: int) -> BlobWriter:
        """Begin to receive one blob into the upload's staging area."""

    def is_staged(self, upload_id: UUID, digest: Digest) -> bool:
        """Whether the upload has received this blob, whole and verified."""

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

    def size(self, digest: Digest) -> int | None:
        """Size under the final key, None when nothing is there."""

    def open(self, digest: Digest) -> BinaryIO:
        """Read the final blob, seekable.

        Raises:
            StorageError: it is not there; a published blob always should be.
        """

    def check(self, digest: Digest, size: int) -> None:
        """Make sure that a published blob can be opened.

        Raises:
            StorageError: it is not there, or not of its size.
        """

    def local_file(self, digest: Digest) -> AbstractContextManager[Path]:
        """The final blob as a file of this machine, for as long as the context."""

    def discard(self, upload_id: UUID) -> None:
        """Remove the upload's staging area, if there is one."""

    def discard_strays(
        self, known: Collection[UUID], before: datetime, *, dry_run: bool = False
    ) -> list[str]:
        """Remove what no known upload has left half done, untouched since `before`.

        Returns:
            The names of what was removed, or would be.
        """
