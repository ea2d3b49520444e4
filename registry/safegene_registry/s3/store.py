"""Blobs in a bucket of an S3 server.

    staging/<upload>/<hex>     as clients sent it, to addresses they were given
    sealed/<upload>/<hex>      a copy of that which only the registry can write
    blobs/sha256/<aa>/<hex>    final
    quarantine/…               found wrong by `fsck`, and set aside

A final key must never come to hold other bytes than before, and servers differ in how
far they help. One that can copy *only where nothing is yet* is used so: whatever is
there stays. For one that cannot, and to repair a damaged blob, the staged bytes are
first sealed and hashed: what is then written over a final key can only be right. Which
of the two a server is gets asked once, by trying.
"""

import re
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from threading import Lock
from uuid import UUID, uuid4

from safegene.artifact.digest import Digest, digest_chunks
from safegene_registry.log import get_logger
from safegene_registry.s3.bucket import S3Bucket
from safegene_registry.s3.client import ConditionUnknownError, ObjectMissingError
from safegene_registry.s3.copying import copy_object
from safegene_registry.s3.direct import S3DirectTransfer
from safegene_registry.s3.keys import (
    BLOBS,
    QUARANTINE,
    SEALED,
    STAGING,
    final_key,
    sealed_key,
    staging_key,
    upload_name,
)
from safegene_registry.s3.reading import ObjectReader
from safegene_registry.s3.writer import S3BlobWriter
from safegene_registry.storage import (
    BlobMissingError,
    BlobWriter,
    FoundBlob,
    StagedBlobMissingError,
    StagedBlobWrongError,
    StorageError,
    StoredObject,
)

log = get_logger("safegene_registry.s3.store")

READ_BYTES = 1 << 20
UPLOAD = "upload"
"""Metadata of a final blob: the upload it came with."""

HEX = re.compile(r"[0-9a-f]{64}")
FINAL_KEY = re.compile(rf"{BLOBS}([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})")


class S3BlobStore:
    """A `BlobStore` in a bucket.

    Args:
        bucket: all of it is the registry's.
        part_bytes: of the parts that clients send larger blobs in.
    """

    def __init__(self, bucket: S3Bucket, part_bytes: int) -> None:
        self.bucket = bucket
        self.direct = S3DirectTransfer(bucket, part_bytes)
        self._probing = Lock()
        self._copies_only_new: bool | None = None

    open_file = None
    """Blobs are files of another machine, if of any."""

    def ping(self) -> None:
        """Make sure that the store is there."""
        self.bucket.ping()

    # Staging

    def receive(self, upload_id: UUID, digest: Digest, size: int) -> BlobWriter:
        """Begin to receive one blob into the upload's staging area."""
        return S3BlobWriter(self.bucket, staging_key(upload_id, digest), digest, size)

    def staged(self, upload_id: UUID) -> dict[Digest, int]:
        """The blobs that the upload has received whole, with their sizes."""
        prefix = staging_key(upload_id)
        sizes = {each.key: each.size for each in self.bucket.list(prefix)}
        return {
            Digest(name): size
            for key, size in sizes.items()
            if HEX.fullmatch(name := key.removeprefix(prefix))
        }

    def unstage(self, upload_id: UUID, digest: Digest) -> None:
        """Remove one staged blob, so that it counts as missing."""
        self.bucket.delete([staging_key(upload_id, digest)])

    # Final blobs

    def promote(self, upload_id: UUID, digest: Digest) -> None:
        """Give a staged blob its final key, or leave what is already there."""
        if not self.copies_only_new():
            self.replace(upload_id, digest)
            return
        source = staging_key(upload_id, digest)
        if self._copy(upload_id, digest, source, final_key(digest), only_new=True):
            return
        found = self.bucket.head(final_key(digest))
        if found is None or found.metadata.get(UPLOAD) != str(upload_id):
            self._prove(source, digest)

    def replace(self, upload_id: UUID, digest: Digest) -> None:
        """Put a staged blob in the place of a final one, hashed out of reach."""
        source, sealed = staging_key(upload_id, digest), sealed_key(upload_id, digest)
        self._copy(upload_id, digest, source, sealed, only_new=False)
        self._prove(sealed, digest)
        self._copy(upload_id, digest, sealed, final_key(digest), only_new=False)
        self.bucket.delete([sealed])

    def _prove(self, key: str, digest: Digest) -> None:
        try:
            found = self._hash(key)
        except ObjectMissingError as error:
            # Another connection does the same, and was faster.
            raise StagedBlobMissingError(str(digest)) from error
        if found != digest:
            raise StagedBlobWrongError(digest)

    def _copy(
        self,
        upload_id: UUID,
        digest: Digest,
        source: str,
        target: str,
        *,
        only_new: bool,
    ) -> bool:
        metadata = {UPLOAD: str(upload_id)}
        try:
            return copy_object(self.bucket, source, target, metadata, only_new=only_new)
        except ObjectMissingError as error:
            raise StagedBlobMissingError(str(digest)) from error

    def promoted(self, upload_id: UUID) -> list[Digest]:
        """Blobs staged here whose final blob this upload was the last to write."""
        mine = str(upload_id)
        return [
            digest
            for digest in sorted(self.staged(upload_id))
            if (found := self.bucket.head(final_key(digest)))
            and found.metadata.get(UPLOAD) == mine
        ]

    def untouched(self, before: datetime) -> Iterator[Digest]:
        """Final blobs that no upload has written since `before`."""
        for found in self.bucket.list(BLOBS):
            match = FINAL_KEY.fullmatch(found.key)
            if match and found.modified < before:
                yield Digest(match[2])

    def remove(
        self,
        digest: Digest,
        *,
        before: datetime | None = None,
        deadline: float | None = None,
    ) -> int | None:
        """Remove a final blob, for good."""
        key = final_key(digest)
        found = self.bucket.head(key)
        if found is None or (before is not None and found.modified >= before):
            return None
        if deadline is not None and time.monotonic() > deadline:
            detail = "The object store is too slow to remove an object."
            raise StorageError(detail)
        self.bucket.delete_once(key)
        return found.size

    def find(self, digest: Digest) -> FoundBlob | None:
        """What is under the final key, None when nothing is."""
        found = self.bucket.head(final_key(digest))
        return None if found is None else FoundBlob(found.size, found.etag)

    @contextmanager
    def open(self, digest: Digest, *, start: int = 0) -> Iterator[ObjectReader]:
        """Read the final blob from byte `start` on, for as long as the context."""
        try:
            reader = ObjectReader(self.bucket, final_key(digest), start)
        except ObjectMissingError as error:
            raise BlobMissingError(digest) from error
        with closing(reader):
            yield reader

    def check(self, digest: Digest, size: int) -> None:
        """Make sure that a published blob can be opened."""
        found = self.find(digest)
        if found is None or found.size != size:
            raise BlobMissingError(digest)

    # Looking after

    def inventory(self) -> Iterator[StoredObject]:
        """Everything in the final place."""
        for found in self.bucket.list(BLOBS):
            match = FINAL_KEY.fullmatch(found.key)
            digest = Digest(match[2]) if match else None
            yield StoredObject(found.key, digest, found.size, found.modified)

    def set_aside(self, key: str) -> str | None:
        """Move something out of the final place; a blob that proves right stays."""
        before = self.bucket.head(key)
        if before is None:
            return None
        kept = f"{QUARANTINE}{key.rpartition('/')[2]}.{uuid4()}"
        copy_object(self.bucket, key, kept, {}, only_new=False)
        match = FINAL_KEY.fullmatch(key)
        now = self.bucket.head(key)
        mended = match and self._hash(kept) == Digest(match[2])
        if mended or now is None or now.etag != before.etag:
            self.bucket.delete([kept])
            return None
        self.bucket.delete_once(key)
        return kept

    def _hash(self, key: str) -> Digest:
        with closing(ObjectReader(self.bucket, key)) as blob:
            return digest_chunks(iter(lambda: blob.read(READ_BYTES), b""))

    # Clearing away

    def discard(self, upload_id: UUID) -> None:
        """Remove the upload's staging area, if there is one."""
        prefix = staging_key(upload_id)
        try:
            for multipart in self.bucket.multiparts(prefix):
                self.bucket.abort(multipart.key, multipart.id)
            self.bucket.delete(found.key for found in self.bucket.list(prefix))
        except StorageError:
            # What cannot be removed now is a stray, and swept later.
            log.exception("staging_kept", upload_id=str(upload_id))

    def discard_strays(
        self, known: Collection[UUID], before: datetime, *, dry_run: bool = False
    ) -> list[str]:
        """Remove what no known upload has left half done, untouched since `before`.

        That is staged and sealed blobs, and multipart uploads, of copies as well.
        """
        names = {str(upload_id) for upload_id in known}
        removed = set()
        for root in (STAGING, SEALED):
            for name in self.bucket.folders(root):
                inside = f"{root}{name}/"
                objects = [] if name in names else list(self.bucket.list(inside))
                if objects and all(each.modified < before for each in objects):
                    removed.add(name)
                    if not dry_run:
                        self.bucket.delete(each.key for each in objects)
        for multipart in self.bucket.multiparts(""):
            name = upload_name(multipart.key)
            if name not in names and multipart.initiated < before:
                removed.add(name)
                if not dry_run:
                    self.bucket.abort(multipart.key, multipart.id)
        return sorted(removed)

    # What the server can do

    def copies_only_new(self) -> bool:
        """Whether the server can copy only where nothing is yet; tried once."""
        with self._probing:
            if self._copies_only_new is None:
                self._copies_only_new = tries_only_new(self.bucket)
                log.info("object_store_tried", copies_only_new=self._copies_only_new)
            return self._copies_only_new


def tries_only_new(bucket: S3Bucket) -> bool:
    """Try both kinds of copy over something that is there."""
    source, target = (f"{STAGING}{uuid4()}/{name}" for name in ("source", "target"))
    bucket.put(source, b"source")
    bucket.put(target, b"target")
    try:
        for part_bytes in (None, 6):
            if copy_object(
                bucket, source, target, {}, only_new=True, part_bytes=part_bytes
            ):
                return False
    except ConditionUnknownError:
        return False
    finally:
        bucket.delete([source, target])
    return True
