"""What a manifest alone tells about a version, checked before a byte of it is sent.

Everything that follows from the manifest is held against it here: the structure of the
base model, the footprint, and how large each file can be at all. What the files hold is
`verification`'s part.
"""

from safegene.artifact.architecture import check_architecture
from safegene.artifact.lineage import sketch_positions
from safegene.artifact.manifest import (
    LINEAGE_NAME,
    TENSORS_NAME,
    FileEntry,
    Manifest,
)
from safegene.artifact.tensorfile import ITEM_BYTES, LENGTH_BYTES
from safegene.artifact.vectorfile import (
    FACTOR_DTYPES,
    factor_shapes,
    validate_coverage,
)
from safegene.errors import ManifestError

MAX_SMALL_BYTES = 1 << 20
"""Largest adapter config, card or sketch; real ones have a few kilobytes."""

HEADER_BYTES = 1 << 16
"""What a tensor file's header may have beside its tensors: metadata, padding."""

ENTRY_BYTES = 256
"""What one tensor's entry may have beside its name; compact ones have some 80."""

WIDTHS = sorted({ITEM_BYTES[dtype] for dtype in FACTOR_DTYPES})
REMEDY = "make the vector again with `safegene extract`"


def read_manifest(data: bytes) -> Manifest:
    """Read the manifest of a version that somebody wants to publish.

    Args:
        data: its bytes, as they came.

    Raises:
        ManifestError: it breaks the format, or promises what no servable version holds.
        UnsupportedFormatError: another format number than this release reads.
    """
    manifest = Manifest.from_bytes(data)
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: Manifest) -> None:
    """Check all that follows from the manifest alone.

    Raises:
        ManifestError: it promises what no servable version holds; `.pointer` says
            where.
    """
    check_architecture(manifest.architecture)
    validate_coverage(manifest)
    for entry in manifest.files:
        least, most = size_limits(manifest, entry)
        if not least <= entry.size <= most:
            detail = (
                f"{entry.path}: expected {least} to {most} bytes, which is what the"
                f" manifest's footprint and architecture allow, got {entry.size};"
                f" {REMEDY}"
            )
            raise ManifestError(detail, pointer=f"{file_pointer(manifest, entry)}/size")


def size_limits(manifest: Manifest, entry: FileEntry) -> tuple[int, int]:
    """The least and the most bytes that a file of this version can have."""
    if entry.path == TENSORS_NAME:
        values = sum(rows * columns for *_, (rows, columns) in factor_shapes(manifest))
        header = LENGTH_BYTES + max_header_bytes(manifest)
        return WIDTHS[0] * values, WIDTHS[-1] * values + header
    if entry.path == LINEAGE_NAME:
        runs = sketch_positions(manifest.architecture)
        return ITEM_BYTES["F32"] * sum(run.count for run in runs), MAX_SMALL_BYTES
    return 0, MAX_SMALL_BYTES


def max_header_bytes(manifest: Manifest) -> int:
    """The largest header of the tensor file that there is a reason for.

    Reading a header takes some thirty times its size in memory.
    """
    names = (name for name, *_ in factor_shapes(manifest))
    return HEADER_BYTES + sum(len(name) + ENTRY_BYTES for name in names)


def file_pointer(manifest: Manifest, entry: FileEntry) -> str:
    """JSON pointer of a file's entry."""
    return f"/files/{manifest.files.index(entry)}"
