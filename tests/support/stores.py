"""Blob stores of every kind, for tests that hold them to the same promises."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from safegene_registry.directory_store import DirectoryBlobStore
from safegene_registry.storage import BlobStore
from support.s3_stores import s3_store

from safegene.artifact.digest import Digest, digest_bytes

DATA = b"some bytes of a blob"
WRONG = b"others of that length"[: len(DATA)]
DIGEST = digest_bytes(DATA)
LARGE_BYTES = (20 << 20) + 7
"""More than a store keeps in memory while it receives."""


@dataclass
class Place:
    """A store, and a hand that reaches behind it."""

    store: BlobStore
    write: Callable[[str, bytes], None]
    """Puts bytes under a key, as a broken disk or a sender that nobody checks would."""
    again: Callable[[], BlobStore]
    """Opens the store anew, as another process does."""


def directory_place(root: Path) -> Place:
    def write(key: str, data: bytes) -> None:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    return Place(DirectoryBlobStore(root), write, lambda: DirectoryBlobStore(root))


def s3_place(bucket) -> Place:
    def write(key: str, data: bytes) -> None:
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=data)

    return Place(s3_store(bucket), write, lambda: s3_store(bucket))


def stage(store: BlobStore, upload_id: UUID, data: bytes = DATA) -> Digest:
    digest = digest_bytes(data)
    writer = store.receive(upload_id, digest, len(data))
    try:
        for at in range(0, len(data), 1 << 20):
            writer.write(data[at : at + (1 << 20)])
        writer.finish()
    finally:
        writer.abort()
    return digest


def publish(store: BlobStore, data: bytes = DATA) -> Digest:
    upload_id = uuid4()
    digest = stage(store, upload_id, data)
    store.promote(upload_id, digest)
    store.discard(upload_id)
    return digest


def content(store: BlobStore, digest: Digest, *, start: int = 0) -> bytes:
    with store.open(digest, start=start) as blob:
        return b"".join(iter(lambda: blob.read(1 << 16), b""))


def soon() -> datetime:
    """When everything of now is old."""
    return datetime.now(UTC) + timedelta(hours=1)


def long_ago() -> datetime:
    """When nothing of now was there."""
    return datetime.now(UTC) - timedelta(hours=1)


def write_all(writer, data: bytes) -> None:
    try:
        writer.write(data)
        writer.finish()
    finally:
        writer.abort()


class Faulty:
    """A real store, some of whose methods a test replaces; the others are `inner`'s."""

    def __init__(self, store: BlobStore) -> None:
        self.inner = store

    def __getattr__(self, name: str):
        return getattr(self.inner, name)
