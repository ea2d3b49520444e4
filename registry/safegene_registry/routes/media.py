"""Media types of our own."""

MANIFEST_MEDIA_TYPE = "application/vnd.safegene.manifest+json"
