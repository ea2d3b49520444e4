"""Media types of our own, and answers that nobody may keep."""

from fastapi import Response

MANIFEST_MEDIA_TYPE = "application/vnd.safegene.manifest+json"


def keep_out_of_caches(response: Response) -> None:
    """For answers that hold a secret."""
    response.headers["Cache-Control"] = "no-store"
