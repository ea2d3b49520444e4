"""Blobs on an S3 server; `store` says how."""
