"""S3 blob stores for tests, on the buckets that `support.services` gives.

Every session loads this module, so it imports the registry only when used.
"""

from typing import TYPE_CHECKING, Any

from support import services

if TYPE_CHECKING:
    from safegene_registry.s3.store import S3BlobStore

MIB = 1 << 20


def s3_settings(bucket: services.S3Bucket, **changes: Any) -> dict[str, Any]:
    """The settings of a registry that keeps its blobs in a bucket."""
    from pydantic import SecretStr

    server = bucket.server
    return {
        "s3_bucket": bucket.name,
        "s3_endpoint_url": server.endpoint,
        "s3_region": server.region,
        "s3_access_key_id": server.access_key,
        "s3_secret_access_key": SecretStr(server.secret_key),
        **changes,
    }


def s3_store(bucket: services.S3Bucket, **changes: Any) -> "S3BlobStore":
    """A store in a bucket.

    Args:
        bucket: an empty one.
        changes: to the settings.
    """
    from safegene_registry.s3.bucket import S3Bucket
    from safegene_registry.s3.store import S3BlobStore
    from safegene_registry.settings import Settings

    settings = Settings(**s3_settings(bucket, **changes))
    return S3BlobStore(S3Bucket(settings), settings.s3_part_bytes)


def empty_bucket(bucket: services.S3Bucket) -> None:
    """Remove what an earlier test has left; a new bucket costs a server much more."""
    client, named = bucket.client, {"Bucket": bucket.name}
    for page in client.get_paginator("list_objects_v2").paginate(**named):
        keys = [{"Key": found["Key"]} for found in page.get("Contents", ())]
        if keys:
            client.delete_objects(**named, Delete={"Objects": keys, "Quiet": True})
    for page in client.get_paginator("list_multipart_uploads").paginate(**named):
        for found in page.get("Uploads", ()):
            which = {"Key": found["Key"], "UploadId": found["UploadId"]}
            client.abort_multipart_upload(**named, **which)
