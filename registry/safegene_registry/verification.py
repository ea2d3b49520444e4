"""What a version's files are checked for before it is published.

The bytes are read again under their final keys, and everything the manifest says of
them is recomputed: digest, size, segments, tensor names and shapes, finiteness, the
adapter config, the lineage sketch. Standard library and `safegene.artifact` only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from safegene.artifact.digest import Digest, digest_file
from safegene.artifact.lineage import load_sketch
from safegene.artifact.manifest import (
    CARD_NAME,
    CONFIG_NAME,
    LINEAGE_NAME,
    TENSORS_NAME,
    FileEntry,
    Manifest,
)
from safegene.artifact.segments import layer_index, segment_file
from safegene.artifact.tensorfile import TensorEntry, TensorHeader, read_header
from safegene.artifact.vectorfile import (
    validate_adapter_config,
    validate_coverage,
    validate_tensor_file,
)
from safegene.errors import ManifestError, NonFiniteTensorError
from safegene_registry.storage import BlobStore, StorageError

MAX_TEXT_BYTES = 1 << 20
"""Largest adapter config or card; real ones have a few kilobytes."""

CHUNK_BYTES = 1 << 16

EXPONENTS = {
    "F64": (8, 0x7FF0_0000_0000_0000, 0x0010_0000_0000_0000),
    "F32": (4, 0x7F80_0000, 0x0080_0000),
    "F16": (2, 0x7C00, 0x0400),
    "BF16": (2, 0x7F80, 0x0080),
}
"""Per dtype: bytes of one value, its exponent's bits, the lowest of them."""


class CorruptBlobError(Exception):
    """A final blob is not what its key names: the disk has damaged it."""

    def __init__(self, entry: FileEntry) -> None:
        super().__init__(entry.digest)
        self.entry = entry


class BlobGoneError(Exception):
    """There is no final blob: a sweep took it meanwhile, or the disk has lost it."""


def verify_files(store: BlobStore, manifest: Manifest) -> None:
    """Check every file of a version under its final key.

    Raises:
        CorruptBlobError: the store does not hold the promised bytes.
        BlobGoneError: the store holds nothing, or no longer does.
        ArtifactError: a file is not what the manifest says of it.
    """
    checks = {
        TENSORS_NAME: check_tensors,
        CONFIG_NAME: check_config,
        LINEAGE_NAME: check_lineage,
        CARD_NAME: check_card,
    }
    validate_coverage(manifest)
    for index, entry in enumerate(manifest.files):
        with store.local_file(Digest.parse(entry.digest)) as path, read_errors(entry):
            check_bytes(path, entry)
            check_segments(path, entry, index)
            checks[entry.path](manifest, path)


@contextmanager
def read_errors(entry: FileEntry) -> Iterator[None]:
    """Say what it means when the disk does not give the bytes, at whichever check."""
    try:
        yield
    except FileNotFoundError as error:
        raise BlobGoneError(entry.digest) from error
    except OSError as error:
        detail = f"The blob {entry.digest} cannot be read: {error.strerror}."
        raise StorageError(detail) from error


def check_present(store: BlobStore, manifest: Manifest) -> None:
    """Look once more, inside the transaction that publishes, whether all is there.

    Raises:
        BlobGoneError: a blob is not.
    """
    for entry in manifest.files:
        if store.size(Digest.parse(entry.digest)) != entry.size:
            raise BlobGoneError(entry.digest)


def check_bytes(path: Path, entry: FileEntry) -> None:
    """Hash what is really there."""
    digest, size = digest_file(path)
    if (str(digest), size) != (entry.digest, entry.size):
        raise CorruptBlobError(entry)


def check_segments(path: Path, entry: FileEntry, index: int) -> None:
    """Cut the file into segments and compare with the manifest's."""
    if entry.segments is None:
        return
    actual = segment_file(path, layer_index)
    if actual != entry.segments:
        expected = len(entry.segments)
        detail = (
            f"The segments of {entry.path} are not those of the file: the manifest "
            f"lists {expected}, the file has {len(actual)}; offsets, sizes, layers and "
            "digests must all agree."
        )
        raise ManifestError(detail, pointer=f"/files/{index}/segments")


def check_tensors(manifest: Manifest, path: Path) -> None:
    """Names, dtypes and shapes against the footprint; every value finite."""
    header = read_header(path)
    validate_tensor_file(manifest, header)
    check_finite(path, header)


def check_lineage(manifest: Manifest, path: Path) -> None:
    """The sketch has one finite value for every sampled position."""
    load_sketch(path, manifest.architecture)
    check_finite(path, read_header(path))


def check_config(manifest: Manifest, path: Path) -> None:
    """The adapter config is the servable one that the manifest implies."""
    validate_adapter_config(manifest, read_small(manifest, path, CONFIG_NAME))


def check_card(manifest: Manifest, path: Path) -> None:
    """The card is text."""
    try:
        read_small(manifest, path, CARD_NAME).decode()
    except UnicodeDecodeError as error:
        detail = f"{CARD_NAME} is not UTF-8 text: {error.reason} at {error.start}."
        pointer = file_pointer(manifest, CARD_NAME)
        raise ManifestError(detail, pointer=pointer) from error


def read_small(manifest: Manifest, path: Path, name: str) -> bytes:
    """A text file, which has no reason to be large."""
    size = manifest.file(name).size
    if size > MAX_TEXT_BYTES:
        detail = f"{name} has {size} bytes; at most {MAX_TEXT_BYTES} make sense."
        raise ManifestError(detail, pointer=file_pointer(manifest, name))
    return path.read_bytes()


def file_pointer(manifest: Manifest, name: str) -> str:
    """JSON pointer of a file's entry."""
    return f"/files/{manifest.files.index(manifest.file(name))}"


def check_finite(path: Path, header: TensorHeader) -> None:
    """Refuse NaN and infinity in any floating-point tensor."""
    for tensor in header.tensors:
        if tensor.dtype not in EXPONENTS:
            continue
        for chunk in tensor_chunks(path, tensor):
            if has_non_finite(chunk, tensor.dtype):
                detail = f"The tensor {tensor.name} holds NaN or infinity."
                raise NonFiniteTensorError(detail, module=tensor.name)


def tensor_chunks(path: Path, tensor: TensorEntry) -> Iterator[bytes]:
    """The bytes of one tensor, in pieces that end between values."""
    with path.open("rb") as file:
        file.seek(tensor.start)
        left = tensor.end - tensor.start
        while left > 0:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                return
            left -= len(chunk)
            yield chunk


def has_non_finite(data: bytes, dtype: str) -> bool:
    """Whether any value has an exponent of ones only, which means NaN or infinity.

    All values are looked at in one sum of large integers: adding the lowest exponent
    bit to a masked exponent carries into the sign bit just when every bit was one.
    """
    width = EXPONENTS[dtype][0]
    exponents, carries, signs = masks(dtype, len(data) // width)
    return bool(((int.from_bytes(data, "little") & exponents) + carries) & signs)


@lru_cache(maxsize=16)
def masks(dtype: str, count: int) -> tuple[int, int, int]:
    """Exponent bits, lowest exponent bits and sign bits of `count` values in a row."""
    width, exponent, lowest = EXPONENTS[dtype]
    ones = int.from_bytes((1).to_bytes(width, "little") * count, "little")
    return ones * exponent, ones * lowest, ones << (8 * width - 1)
