"""Reading an object front to back, over connections that may break off."""

from safegene_registry.s3.bucket import S3Bucket
from safegene_registry.s3.client import (
    RETRY_SECONDS,
    ObjectMissingError,
    translated_errors,
)
from safegene_registry.storage import StorageError

READ_ATTEMPTS = 3
"""Tries in a row of a read that breaks off."""


class ObjectReader:
    """Reads an object front to back, and goes on when the connection breaks.

    Args:
        bucket: where it is.
        key: of the object.
        start: byte to begin with.

    Raises:
        ObjectMissingError: there is no such object.
    """

    def __init__(self, bucket: S3Bucket, key: str, start: int = 0) -> None:
        self._bucket = bucket
        self._key = key
        self._position = start
        self._failures = 0
        self._body, self.tag = bucket.get(key, start)

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end.

        Raises:
            StorageError: they cannot be had, or the object is another one by now.
        """
        while True:
            try:
                with translated_errors("read an object"):
                    data: bytes = self._body.read(size)
            except StorageError:
                self._failures += 1
                if self._failures >= READ_ATTEMPTS:
                    raise
                self._reopen()
            else:
                self._failures = 0
                self._position += len(data)
                return data

    def close(self) -> None:
        """Give the connection back, or up."""
        self._body.close()

    def _reopen(self) -> None:
        self.close()
        try:
            self._body, tag = self._bucket.get(self._key, self._position)
        except ObjectMissingError:
            tag = None
        if tag != self.tag:
            detail = "An object was replaced or removed while it was being read."
            raise StorageError(detail, retry_seconds=RETRY_SECONDS)
