"""Receives a blob through the registry into a bucket.

For clients that cannot reach the S3 server, and for the registry's own writing.
"""

import io

from safegene.artifact.digest import Digest, VerifyingWriter
from safegene_registry.s3.bucket import S3Bucket
from safegene_registry.s3.client import ObjectMissingError
from safegene_registry.storage import StagedBlobMissingError

PART_BYTES = 8 << 20
"""Held in memory by each sender; a server wants 5 MiB at least, and no more than 10 000
of them."""


class S3BlobWriter:
    """Writes one blob under its staging key, which appears when it has been verified.

    Args:
        bucket: where to.
        key: the staging key.
        digest: what the bytes must hash to.
        size: how many bytes must come.
    """

    def __init__(self, bucket: S3Bucket, key: str, digest: Digest, size: int) -> None:
        self._bucket = bucket
        self._key = key
        self._digest = digest
        self._pending = io.BytesIO()
        self._multipart_id: str | None = None
        self._sent = 0
        self._writer = VerifyingWriter(
            self._pending, digest=digest, size=size, name=f"blob {digest}"
        )

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        self._writer.write(chunk)
        if self._pending.tell() >= PART_BYTES:
            self._send_part()

    def finish(self) -> None:
        """Make the blob staged."""
        self._writer.finish()
        if self._multipart_id is None:
            self._bucket.put(self._key, self._pending.getvalue())
            return
        self._send_part()
        try:
            parts = self._bucket.parts(self._key, self._multipart_id)
            self._bucket.complete(self._key, self._multipart_id, parts, only_new=False)
        except ObjectMissingError as error:
            raise StagedBlobMissingError(str(self._digest)) from error

    def abort(self) -> None:
        """Leave nothing behind; harmless after `finish`.

        It may be called where nothing must take long, so what the server holds goes
        with the upload.
        """
        self._pending.close()

    def _send_part(self) -> None:
        if self._multipart_id is None:
            self._multipart_id = self._bucket.begin(self._key, {})
        data = self._pending.getvalue()
        if not data:
            return
        self._sent += 1
        try:
            self._bucket.put_part(self._key, self._multipart_id, self._sent, data)
        except ObjectMissingError as error:
            raise StagedBlobMissingError(str(self._digest)) from error
        self._pending.seek(0)
        self._pending.truncate()
