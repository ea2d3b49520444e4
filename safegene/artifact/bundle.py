"""A version on disk: a directory with the manifest and the files it names.

Stable. Reading checks everything before anything is used: names, sizes, digests,
segments, the tensor file's header and the PEFT configuration.
"""

from pathlib import Path

from safegene.artifact.digest import Digest, digest_file
from safegene.artifact.lineage import load_sketch
from safegene.artifact.manifest import (
    CONFIG_NAME,
    FILE_NAMES,
    LINEAGE_NAME,
    MANIFEST_NAME,
    TENSORS_NAME,
    FileEntry,
    Manifest,
)
from safegene.artifact.segments import verify_segments
from safegene.artifact.tensorfile import read_header
from safegene.artifact.vectorfile import (
    validate_adapter_config,
    validate_coverage,
    validate_tensor_file,
)
from safegene.errors import ArtifactError, DigestMismatchError, SizeMismatchError


def read_manifest(directory: Path) -> Manifest:
    """Read and check `safegene.json` of a vector's directory.

    Raises:
        ArtifactError: the directory or its manifest is missing or unreadable.
        ManifestError: the manifest breaks the format.
    """
    path = directory / MANIFEST_NAME
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        message = (
            f"{directory} is not a safety vector: expected a directory with"
            f" {MANIFEST_NAME}; make one with `safegene extract` or `safegene pull`"
        )
        raise ArtifactError(message) from None
    return Manifest.from_bytes(data)


def verify_directory(directory: Path, *, full: bool = True) -> Manifest:
    """Check a vector's directory and return its manifest.

    Args:
        directory: as written by `save_vector` or `pull`.
        full: hash every byte; without it only names, sizes and headers are checked.

    Raises:
        ArtifactError: a file is missing, unknown, of another size or digest, or does
            not agree with the manifest; the subclass and message say which.
    """
    manifest = read_manifest(directory)
    present = {path.name for path in directory.iterdir()}
    unknown = sorted(present - {*FILE_NAMES, MANIFEST_NAME})
    if unknown:
        message = (
            f"{directory}: {unknown[0]} is not a file of a safety vector; remove it"
        )
        raise ArtifactError(message)
    for entry in manifest.files:
        _check_size(directory / entry.path, entry)
    if full:
        verify_bytes(directory, manifest)
    check_content(manifest, directory / TENSORS_NAME, directory / CONFIG_NAME)
    load_sketch(directory / LINEAGE_NAME, manifest.architecture)
    return manifest


def verify_bytes(directory: Path, manifest: Manifest) -> None:
    """Hash every file of a vector's directory that `verify_directory` has seen.

    Raises:
        ArtifactError: a file is of another size or digest; the subclass and message
            say which.
        OSError: a file cannot be read.
    """
    for entry in manifest.files:
        _check_digest(directory / entry.path, entry)


def check_content(manifest: Manifest, tensors: Path, config: Path) -> None:
    """Hold the tensor file's header and the PEFT configuration against the manifest.

    Raises:
        ArtifactError: they do not agree; the subclass and message say where.
    """
    validate_coverage(manifest)
    validate_tensor_file(manifest, read_header(tensors))
    validate_adapter_config(manifest, config.read_bytes())


def _check_size(path: Path, entry: FileEntry) -> None:
    if not path.is_file():
        message = (
            f"{path.parent}: {entry.path} is missing; fetch the whole version again"
        )
        raise ArtifactError(message)
    size = path.stat().st_size
    if size != entry.size:
        message = (
            f"{path.name}: expected {entry.size} bytes, got {size}; the file was cut or"
            " added to, fetch it again"
        )
        raise SizeMismatchError(message, expected=entry.size, actual=size)


def _check_digest(path: Path, entry: FileEntry) -> None:
    if entry.segments is None:
        actual, _ = digest_file(path)
    else:
        # A damaged segment is named; the digest is the name that the blob goes by.
        actual = verify_segments(path, entry.segments)
    if actual != Digest.parse(entry.digest):
        message = (
            f"{path.name}: expected digest {entry.digest}, got {actual}; the bytes were"
            " changed, fetch them again"
        )
        raise DigestMismatchError(message, expected=entry.digest, actual=str(actual))
