"""Copying an object within a bucket, whatever its size.

One request copies at most 5 GiB, and keeps a connection silent for as long as it takes.
Larger objects are copied as parts, several at once.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from safegene_registry.s3.bucket import S3Bucket
from safegene_registry.s3.client import ObjectMissingError
from safegene_registry.storage import StorageError

MIB = 1 << 20
SINGLE_BYTES = 512 * MIB
"""Largest object that is copied by one request: seconds, not minutes."""

PART_BYTES = 256 * MIB
MOST_PARTS = 10_000
WORKERS = 4


def copy_object(
    bucket: S3Bucket,
    source: str,
    target: str,
    metadata: Mapping[str, str],
    *,
    only_new: bool,
    part_bytes: int | None = None,
) -> bool:
    """Copy an object.

    Args:
        bucket: where both are.
        source: key of the object.
        target: key of the copy.
        metadata: of the copy.
        only_new: leave what is already there, where the server can do that.
        part_bytes: copy in parts of this size; None decides by the object's size.

    Returns:
        False when something was there and has been left.

    Raises:
        ObjectMissingError: there is no source.
        StorageError: the server cannot do it now; nothing was half written.
    """
    found = bucket.head(source)
    if found is None:
        raise ObjectMissingError(source)
    if part_bytes is None:
        if found.size <= SINGLE_BYTES:
            return bucket.copy(source, target, metadata, only_new=only_new)
        if only_new and bucket.head(target) is not None:
            return False  # the server would say so too, after all parts
        part_bytes = max(PART_BYTES, -(-found.size // MOST_PARTS))
    parts = spans(found.size, part_bytes)
    return copy_parts(bucket, source, target, metadata, parts, only_new=only_new)


def spans(size: int, part_bytes: int) -> list[range]:
    """Ranges of at most `part_bytes` that tile `size` bytes."""
    return [
        range(start, min(start + part_bytes, size))
        for start in range(0, size, part_bytes)
    ]


def copy_parts(
    bucket: S3Bucket,
    source: str,
    target: str,
    metadata: Mapping[str, str],
    parts: list[range],
    *,
    only_new: bool,
) -> bool:
    """Copy an object part by part; see `copy_object`."""
    multipart_id = bucket.begin(target, metadata)
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            done = [
                pool.submit(
                    bucket.copy_part, source, target, multipart_id, number, span
                )
                for number, span in enumerate(parts, 1)
            ]
            for each in done:
                each.result()
        copied = bucket.parts(target, multipart_id)
        written = bucket.complete(target, multipart_id, copied, only_new=only_new)
    except BaseException:
        with suppress(StorageError):
            bucket.abort(target, multipart_id)
        raise
    if not written:
        bucket.abort(target, multipart_id)
    return written
