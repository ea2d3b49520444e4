"""What clients do with the S3 server themselves, by presigned addresses.

Each lets its holder do one thing for a while: send these many bytes to one staging key
or as one part of it, or read one final blob. The length of what is sent is signed, and
its sha256, too, which some servers check and others ignore.
"""

from base64 import b64encode
from dataclasses import replace
from typing import Any
from uuid import UUID

from safegene.artifact.digest import Digest
from safegene_registry.s3.bucket import PartInfo, S3Bucket
from safegene_registry.s3.client import ObjectMissingError
from safegene_registry.s3.keys import final_key, staging_key
from safegene_registry.storage import (
    Address,
    Multipart,
    Part,
    StagedBlobMissingError,
    cut,
)

MANY_PARTS = 500
"""Instead of more parts than this they are made larger; a server takes 10 000."""


class S3DirectTransfer:
    """A `DirectTransfer` with one bucket.

    Args:
        bucket: which.
        part_bytes: of a blob that is larger; what is lost when a connection breaks.
    """

    def __init__(self, bucket: S3Bucket, part_bytes: int) -> None:
        self.bucket = bucket
        self.least_part_bytes = part_bytes

    def part_bytes(self, size: int) -> int | None:
        """Size of the parts that a blob of this size is sent in; None: in one go."""
        if size <= self.least_part_bytes:
            return None
        return max(self.least_part_bytes, -(-size // MANY_PARTS))

    def address(self, upload_id: UUID, digest: Digest, size: int) -> Address:
        """Where to PUT a whole blob; it takes these bytes only, if the store checks."""
        return self._address(
            "put_object", digest, Key=staging_key(upload_id, digest), ContentLength=size
        )

    def begin_parts(
        self, upload_id: UUID, digest: Digest, part_bytes: int
    ) -> Multipart:
        """Begin to receive a blob in parts."""
        return Multipart(
            self.bucket.begin(staging_key(upload_id, digest), {}), part_bytes
        )

    def abort_parts(self, upload_id: UUID, digest: Digest, parts: Multipart) -> None:
        """End a transfer in parts and drop what came."""
        self.bucket.abort(staging_key(upload_id, digest), parts.id)

    def parts(
        self, upload_id: UUID, digest: Digest, size: int, parts: Multipart
    ) -> list[Part]:
        """Every part, and which of them are there."""
        key = staging_key(upload_id, digest)
        present = self._present(key, digest, size, parts)
        return [
            replace(part, present=part.number in present)
            for part in cut(size, parts.part_bytes)
        ]

    def part_address(
        self,
        upload_id: UUID,
        digest: Digest,
        parts: Multipart,
        part: Part,
        checksum: Digest,
    ) -> Address:
        """Where to PUT a part; it takes these bytes only, if the store checks."""
        return self._address(
            "upload_part",
            checksum,
            Key=staging_key(upload_id, digest),
            UploadId=parts.id,
            PartNumber=part.number,
            ContentLength=part.size,
        )

    def _address(self, operation: str, checksum: Digest, **parameters: Any) -> Address:
        encoded = b64encode(bytes.fromhex(checksum.hex)).decode()
        url = self.bucket.presigned(operation, ChecksumSHA256=encoded, **parameters)
        return Address(url, {"x-amz-checksum-sha256": encoded})

    def assemble(
        self, upload_id: UUID, digest: Digest, size: int, parts: Multipart
    ) -> bool:
        """Make the staged blob of its parts; False while some are missing."""
        key = staging_key(upload_id, digest)
        present = self._present(key, digest, size, parts)
        if len(present) < len(cut(size, parts.part_bytes)):
            return False
        try:
            self.bucket.complete(
                key, parts.id, (present[n] for n in sorted(present)), only_new=False
            )
        except ObjectMissingError as error:
            raise StagedBlobMissingError(str(digest)) from error
        return True

    def download(
        self, digest: Digest, *, name: str, media_type: str, cache_control: str
    ) -> str:
        """Where to GET a final blob."""
        return self.bucket.presigned(
            "get_object",
            Key=final_key(digest),
            ResponseContentType=media_type,
            ResponseContentDisposition=f'attachment; filename="{name}"',
            ResponseCacheControl=cache_control,
        )

    def _present(
        self, key: str, digest: Digest, size: int, parts: Multipart
    ) -> dict[int, PartInfo]:
        """The newest parts that are as long as they should be, by number."""
        wanted = {part.number: part.size for part in cut(size, parts.part_bytes)}
        try:
            found = self.bucket.parts(key, parts.id)
        except ObjectMissingError as error:
            raise StagedBlobMissingError(str(digest)) from error
        return {
            part.number: part for part in found if wanted.get(part.number) == part.size
        }
