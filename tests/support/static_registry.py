"""A registry that only serves what lies in version directories, and what tests make up.

Its answers are plain data, so that a test can turn any of them into a lie.
"""

from pathlib import Path
from typing import Any

from support.scripted_server import (
    Got,
    Reply,
    file_reply,
    json_reply,
    problem_reply,
)

from safegene.artifact.bundle import read_manifest
from safegene.artifact.manifest import FILE_NAMES, Manifest


class StaticRegistry:
    """Answers by `replies`: JSON values, bytes, or replies, by path."""

    def __init__(self, *directories: Path) -> None:
        self.manifests: dict[str, Manifest] = {}
        self.replies: dict[str, Any] = {}
        for directory in directories:
            manifest = read_manifest(directory)
            self.manifests[manifest.version] = manifest
            vector = f"/v1/vectors/{manifest.vector}"
            base = f"{vector}/versions/{manifest.version}"
            self.replies[f"{vector}/resolve"] = self.detail(manifest)
            self.replies[base] = self.detail(manifest)
            self.replies[f"{base}/manifest"] = manifest.to_bytes()
            for name in FILE_NAMES:
                self.replies[f"{base}/files/{name}"] = (directory / name).read_bytes()

    @staticmethod
    def detail(manifest: Manifest, **changes: Any) -> dict[str, Any]:
        """What a version is, as the interface tells it."""
        return {
            "namespace": manifest.namespace,
            "name": manifest.name,
            "version": manifest.version,
            "digest": str(manifest.digest),
            "size_bytes": manifest.size_bytes,
            "yanked": None,
            "files": [],
            "grown": "a key of a newer registry",
        } | changes

    def __call__(self, got: Got) -> Reply:
        found = self.replies.get(got.path)
        if found is None:
            return problem_reply(404, "not-found", f"There is nothing at {got.path}.")
        if isinstance(found, Reply):
            return found
        if isinstance(found, bytes):
            return file_reply(got, found)
        return json_reply(found)
