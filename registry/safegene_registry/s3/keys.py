"""Under which keys the objects of the registry lie; see `store`."""

from uuid import UUID

from safegene.artifact.digest import Digest

STAGING = "staging/"
SEALED = "sealed/"
BLOBS = "blobs/sha256/"
QUARANTINE = "quarantine/"


def staging_key(upload_id: UUID, digest: Digest | None = None) -> str:
    """Where an upload's blob is staged; without one, what all of them begin with."""
    return f"{STAGING}{upload_id}/{digest.hex if digest else ''}"


def sealed_key(upload_id: UUID, digest: Digest) -> str:
    """Where a staged blob is copied to be hashed out of reach."""
    return f"{SEALED}{upload_id}/{digest.hex}"


def final_key(digest: Digest) -> str:
    """Where a blob lives for good."""
    return f"{BLOBS}{digest.hex[:2]}/{digest.hex}"


def upload_name(key: str) -> str:
    """The upload that a staged or sealed key belongs to; any other key as it is."""
    for root in (STAGING, SEALED):
        if key.startswith(root):
            return key.removeprefix(root).partition("/")[0]
    return key
