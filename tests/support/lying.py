"""Manifests that name what a version's files have become, and readers of those."""

from pathlib import Path

from support.versions import file_entries

from safegene.artifact.manifest import Manifest


def rewritten(manifest: Manifest, directory: Path, name: str, data: bytes) -> Manifest:
    """Change a file and let the manifest name its new digest."""
    (directory / name).write_bytes(data)
    return changed(manifest, files=file_entries(directory))


def changed(manifest: Manifest, **fields: object) -> Manifest:
    """The manifest with other fields, and so another digest."""
    old = {name: getattr(manifest, name) for name in Manifest.model_fields}
    return Manifest.model_validate({**old, **fields})


class Pieces:
    """A reader that gives a few bytes at a time, as networks do."""

    tag = ""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int, /) -> bytes:
        """The next few bytes."""
        piece, self.data = self.data[: min(size, 999)], self.data[min(size, 999) :]
        return piece
