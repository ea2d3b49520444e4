"""Copying final blobs from one store to another, of whatever kind each is."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import TypeVar
from uuid import uuid4

from safegene.artifact.digest import Digest, digest_chunks
from safegene.errors import ArtifactError
from safegene_registry.storage import BlobMissingError, BlobStore, StorageError

READ_BYTES = 1 << 20
WORKERS = 4


Item = TypeVar("Item")


class DamagedBlobError(Exception):
    """The source does not hold the bytes that the digest names."""


def copy_blobs(
    source: BlobStore, target: BlobStore, sizes: Mapping[Digest, int], *, prove: bool
) -> tuple[list[Digest], list[Digest]]:
    """Copy the blobs that the target lacks, several at once.

    Args:
        source: where they are.
        target: where they shall be, verified.
        sizes: by digest.
        prove: whether blobs that the target has are hashed; else their size is enough.

    Returns:
        Those copied, and those that the source does not hold rightly.

    Raises:
        StorageError: either store cannot be used now.
    """

    def copy(digest: Digest) -> bool | None:
        if has(target, digest, sizes[digest], prove=prove):
            return None
        try:
            put_blob(target, digest, sizes[digest], pieces_of(source, digest))
        except DamagedBlobError:
            return False
        return True

    with ThreadPoolExecutor(WORKERS) as pool:
        done = dict(zip(sizes, pool.map(copy, sizes), strict=True))
    copied = [digest for digest, it_was in done.items() if it_was]
    return copied, [digest for digest, it_was in done.items() if it_was is False]


def has(store: BlobStore, digest: Digest, size: int, *, prove: bool) -> bool:
    """Whether a store has a blob, of its size and perhaps of its digest."""
    found = store.find(digest)
    if found is None or found.size != size:
        return False
    return not prove or digest_of(store, digest) == digest


def digest_of(store: BlobStore, digest: Digest) -> Digest | None:
    """What a final key holds; None: nothing, or what cannot be read."""
    try:
        return digest_chunks(pieces_of(store, digest))
    except DamagedBlobError:
        return None


def pieces_of(store: BlobStore, digest: Digest) -> Iterator[bytes]:
    """The bytes of a final blob.

    Raises:
        DamagedBlobError: it is not there, or its disk does not give it.
    """
    try:
        with store.open(digest) as blob:
            while piece := blob.read(READ_BYTES):
                yield piece
    except (BlobMissingError, OSError) as error:
        raise DamagedBlobError(str(digest)) from error


def put_blob(
    store: BlobStore, digest: Digest, size: int, pieces: Iterable[bytes]
) -> None:
    """Give a store a blob, and read it back.

    What is under the final key already is replaced if it is wrong.

    Raises:
        DamagedBlobError: the pieces are other bytes.
        StorageError: the store cannot take it now.
    """
    upload_id = uuid4()
    writer = store.receive(upload_id, digest, size)
    try:
        for piece in pieces:
            writer.write(piece)
        writer.finish()
        store.promote(upload_id, digest)
        if digest_of(store, digest) != digest:
            store.replace(upload_id, digest)
    except ArtifactError as error:
        raise DamagedBlobError(str(digest)) from error
    finally:
        writer.abort()
        # What cannot be removed now is a stray, and swept later.
        with suppress(StorageError):
            store.discard(upload_id)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, so many at a time."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
