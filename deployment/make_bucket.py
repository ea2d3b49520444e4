"""Make the bucket that the settings name: a step before the first start."""

from safegene_registry.s3.client import make_client, tried
from safegene_registry.settings import Settings


def main() -> None:
    """Make it; asking again does no harm."""
    settings = Settings()
    client = make_client(settings, settings.s3_endpoint_url, tried(settings))
    there = (
        client.exceptions.BucketAlreadyOwnedByYou,
        client.exceptions.BucketAlreadyExists,
    )
    try:
        client.create_bucket(Bucket=settings.s3_bucket)
    except there:
        return


if __name__ == "__main__":
    main()
