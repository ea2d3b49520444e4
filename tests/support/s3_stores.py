"""S3 blob stores for tests, on the buckets that `support.services` gives."""

from typing import Any

from pydantic import SecretStr
from safegene_registry.s3.bucket import S3Bucket
from safegene_registry.s3.store import S3BlobStore
from safegene_registry.settings import Settings
from support import services

MIB = 1 << 20


def s3_settings(bucket: services.S3Bucket, **changes: Any) -> dict[str, Any]:
    """The settings of a registry that keeps its blobs in a bucket."""
    server = bucket.server
    return {
        "s3_bucket": bucket.name,
        "s3_endpoint_url": server.endpoint,
        "s3_region": server.region,
        "s3_access_key_id": server.access_key,
        "s3_secret_access_key": SecretStr(server.secret_key),
        **changes,
    }


def s3_store(bucket: services.S3Bucket, **changes: Any) -> S3BlobStore:
    """A store in a bucket.

    Args:
        bucket: an empty one.
        changes: to the settings.
    """
    return S3BlobStore(S3Bucket(Settings(**s3_settings(bucket, **changes))))


def empty_bucket(bucket: services.S3Bucket) -> None:
    """Remove what an earlier test has left."""
    mine = S3Bucket(Settings(**s3_settings(bucket)))
    mine.delete(found.key for found in mine.list(""))
    for multipart in mine.multiparts(""):
        mine.abort(multipart.key, multipart.id)
