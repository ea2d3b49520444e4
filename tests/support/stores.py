"""Blob stores of every kind, for tests that hold them to the same promises."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from uuid import UUID, uuid4

from safegene_registry.directory_store import DirectoryBlobStore
from safegene_registry.storage import BlobStore
from support.s3_stores import s3_store
from support.services import S3Bucket

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
    again: Callable[[], BlobStore]
    """Opens the store anew, as another process does."""

    def write(self, key: str, data: bytes) -> None:
        """Put bytes under a key behind the store's back."""
        write_behind(self.store, key, data)


def directory_place(root: Path) -> Place:
    """A store in a directory."""
    return Place(DirectoryBlobStore(root), lambda: DirectoryBlobStore(root))


def s3_place(bucket: S3Bucket) -> Place:
    """A store in a bucket."""
    return Place(s3_store(bucket), lambda: s3_store(bucket))


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


def real(store: BlobStore) -> BlobStore:
    """What is behind the faults that tests have put before a store."""
    return real(store.inner) if isinstance(store, Faulty) else store


def keys_of(store: BlobStore, prefix: str) -> list[PurePosixPath]:
    """The keys of everything that is kept below a prefix."""
    found = real(store)
    if not isinstance(found, DirectoryBlobStore):
        return [PurePosixPath(each.key) for each in found.bucket.list(prefix)]
    root = found.staging_root.parent
    paths = (path for path in (root / prefix).rglob("*") if path.is_file())
    return [PurePosixPath(path.relative_to(root)) for path in paths]


def write_behind(store: BlobStore, key: str, data: bytes) -> None:
    """Put bytes under a key, as a broken disk would, or a sender nobody checks."""
    found = real(store)
    if not isinstance(found, DirectoryBlobStore):
        found.bucket.put(key, data)
        return
    path = found.staging_root.parent / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def remove_behind(store: BlobStore, key: str) -> None:
    """Lose what is under a key."""
    found = real(store)
    if isinstance(found, DirectoryBlobStore):
        (found.staging_root.parent / key).unlink()
    else:
        found.bucket.delete([key])


class Faulty:
    """A real store, some of whose methods a test replaces; the others are `inner`'s."""

    def __init__(self, store: BlobStore) -> None:
        self.inner = store

    def __getattr__(self, name: str):
        return getattr(self.inner, name)
