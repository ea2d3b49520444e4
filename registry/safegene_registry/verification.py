"""What a version's files are checked for before it is published.

The bytes are read again under their final keys, and everything the manifest says of
them is recomputed: digest, size, segments, tensor names and shapes, finiteness, the
adapter config, the lineage sketch. Each file is read once, front to back, in pieces of
a megabyte: a store may be far away, and a file larger than this machine's memory. Large
ones are read, hashed and looked into at the same time (`pipelining`). What the manifest
alone tells is checked in `manifests`. Standard library and `safegene.artifact` only.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from io import BytesIO
from typing import BinaryIO, cast

from safegene.artifact.digest import Digest, Hash
from safegene.artifact.hashing import HashedBeside
from safegene.artifact.lineage import load_sketch, write_sketch
from safegene.artifact.manifest import (
    CARD_NAME,
    CONFIG_NAME,
    LINEAGE_NAME,
    TENSORS_NAME,
    FileEntry,
    Manifest,
    Segment,
)
from safegene.artifact.segments import segment_bounds
from safegene.artifact.tensorfile import TensorEntry, TensorHeader, read_header
from safegene.artifact.vectorfile import (
    validate_adapter_config,
    validate_tensor_file,
)
from safegene.errors import ArtifactError, ManifestError, NonFiniteTensorError
from safegene_registry.manifests import (
    REMEDY,
    check_manifest,
    file_pointer,
    max_header_bytes,
)
from safegene_registry.pipelining import ReadAhead
from safegene_registry.storage import (
    BlobMissingError,
    BlobReader,
    BlobStore,
    StorageError,
)

READ_BYTES = 1 << 20
FEW_PIECES = 4
CHUNK_BYTES = 1 << 16
"""Values looked at in one go; twice as fast as a megabyte, which leaves the caches."""

EXPONENTS = {
    "F64": (8, 0x7FF0_0000_0000_0000, 0x0010_0000_0000_0000),
    "F32": (4, 0x7F80_0000, 0x0080_0000),
    "F16": (2, 0x7C00, 0x0400),
    "BF16": (2, 0x7F80, 0x0080),
}
"""Per dtype: bytes of one value, its exponent's bits, the lowest of them."""

SUSPECTS = {
    dtype: [bytes([byte]) for byte in range(256) if byte & top == top]
    for dtype, (width, exponent, _) in EXPONENTS.items()
    if (top := exponent >> (8 * width - 8))
}
"""Per dtype: what the last byte of a value is that might not be finite."""


class CorruptBlobError(Exception):
    """A final blob is not what its key names."""

    def __init__(self, entry: FileEntry) -> None:
        super().__init__(entry.digest)
        self.entry = entry


class BlobGoneError(Exception):
    """There is no final blob: a sweep took it meanwhile, or the disk has lost it."""


class HashingReader:
    """Hashes what is read through it: all of it, and what came since the last mark.

    Args:
        stream: read front to back.
        whole: hashes all of it; None for sha256 in this thread.
    """

    def __init__(self, stream: BlobReader, whole: Hash | None = None) -> None:
        self._stream = stream
        self._whole = whole or hashlib.sha256()
        self._part = hashlib.sha256()
        self._marking = False
        self.count = 0
        """Bytes read so far."""

    def read(self, size: int) -> bytes:
        """The next bytes: as many as asked for, fewer only at the end."""
        pieces = []
        while size > 0 and (piece := self._stream.read(min(size, READ_BYTES))):
            self._whole.update(piece)
            if self._marking:
                self._part.update(piece)
            self.count += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def mark(self) -> Digest:
        """Digest of what came since the last mark; the first call only begins."""
        digest = Digest(self._part.hexdigest())
        self._part = hashlib.sha256()
        self._marking = True
        return digest

    def finish(self, size: int) -> tuple[Digest, int]:
        """Read on to the end, or just past `size`; digest and size of it all."""
        self._marking = False
        while self.count <= size and self.read(READ_BYTES):
            pass
        return Digest(self._whole.hexdigest()), self.count


POINTED = "/files/"
"""How the pointers begin that name a file."""

Check = Callable[[Manifest, FileEntry, HashingReader], None]


def verify_files(store: BlobStore, manifest: Manifest) -> dict[Digest, str]:
    """Check every file of a version under its final key.

    Returns:
        What stood under each key, as `BlobReader.tag` tells it.

    Raises:
        CorruptBlobError: the store does not hold the promised bytes.
        BlobGoneError: the store holds nothing, or no longer does.
        ArtifactError: a file is not what the manifest says of it.
    """
    check_manifest(manifest)
    tags = {}
    for entry in manifest.files:
        digest = Digest.parse(entry.digest)
        with read_errors(entry), store.open(digest) as blob:
            check_file(manifest, entry, blob)
            tags[digest] = blob.tag
    return tags


def check_file(manifest: Manifest, entry: FileEntry, blob: BlobReader) -> None:
    """Check one file.

    Wrong bytes are told as such, and not as whatever they seem to hold.

    Raises:
        CorruptBlobError: these are not the promised bytes.
        ManifestError: they are, and the manifest is wrong about them; `.pointer` is the
            file's entry or within it.
    """
    fault = None
    with hashing_reader(blob, entry.size) as source:
        try:
            CHECKS[entry.path](manifest, entry, source)
        except ArtifactError as error:
            fault = error
        digest, size = source.finish(entry.size)
    if (str(digest), size) != (entry.digest, entry.size):
        raise CorruptBlobError(entry) from fault
    if isinstance(fault, ManifestError) and fault.pointer.startswith(POINTED):
        raise fault
    if fault is not None:
        pointer = file_pointer(manifest, entry)
        raise ManifestError(fault.detail, pointer=pointer) from fault


@contextmanager
def hashing_reader(blob: BlobReader, size: int) -> Iterator[HashingReader]:
    """Read a blob and hash it, of more than a few pieces in threads beside this one."""
    with ExitStack() as threads:
        if size <= FEW_PIECES * READ_BYTES:
            yield HashingReader(blob)
            return
        whole = threads.enter_context(HashedBeside())
        yield HashingReader(threads.enter_context(ReadAhead(blob)), whole)


@contextmanager
def read_errors(entry: FileEntry) -> Iterator[None]:
    """Say what it means when the store does not give the bytes, at whichever check."""
    try:
        yield
    except BlobMissingError as error:
        raise BlobGoneError(entry.digest) from error
    except OSError as error:
        detail = f"The blob {entry.digest} cannot be read: {error.strerror}."
        raise StorageError(detail) from error


def check_present(
    store: BlobStore, manifest: Manifest, tags: Mapping[Digest, str]
) -> None:
    """Look once more, inside the transaction that publishes, whether all is there.

    Raises:
        BlobGoneError: a blob is not, or no longer the one that was verified.
    """
    for entry in manifest.files:
        digest = Digest.parse(entry.digest)
        found = store.find(digest)
        if found is None or (found.size, found.tag) != (entry.size, tags[digest]):
            raise BlobGoneError(entry.digest)


def check_tensors(manifest: Manifest, entry: FileEntry, source: HashingReader) -> None:
    """Names, dtypes and shapes against the footprint, segments, every value finite."""
    source.mark()
    header = header_of(manifest, entry, source)
    validate_tensor_file(manifest, header)
    tensors = deque(header.tensors)
    found = []
    for start, end, layers in segment_bounds(header, entry.path):
        while tensors and tensors[0].end <= end:
            check_finite(source, tensors.popleft(), entry.path)
        digest = str(source.mark())
        size = end - start
        found.append(Segment(offset=start, size=size, digest=digest, layers=layers))
    if entry.segments is not None and tuple(found) != entry.segments:
        detail = (
            f"The segments of {entry.path} are not those of the file: the manifest "
            f"lists {len(entry.segments)}, the file has {len(found)}; offsets, sizes, "
            f"layers and digests must all agree; {REMEDY}."
        )
        raise ManifestError(detail, pointer=f"{file_pointer(manifest, entry)}/segments")


def check_lineage(manifest: Manifest, entry: FileEntry, source: HashingReader) -> None:
    """The sketch has one finite value for every sampled position, and nothing else."""
    data = source.read(entry.size)
    values = load_sketch(BytesIO(data), manifest.architecture)
    for tensor in read_header(data).tensors:
        check_values(data[tensor.start : tensor.end], tensor, entry.path)
    if write_sketch(values) != data:
        detail = (
            f"{entry.path}: expected one tensor in {len(write_sketch(values))} bytes "
            f"and nothing else, got {len(data)} bytes with more or other than that; "
            f"{REMEDY}"
        )
        raise ManifestError(detail, pointer=file_pointer(manifest, entry))


def check_config(manifest: Manifest, entry: FileEntry, source: HashingReader) -> None:
    """The adapter config is the servable one that the manifest implies."""
    validate_adapter_config(manifest, source.read(entry.size))


def check_card(manifest: Manifest, entry: FileEntry, source: HashingReader) -> None:
    """The card is text."""
    try:
        source.read(entry.size).decode()
    except UnicodeDecodeError as error:
        detail = (
            f"{entry.path}: expected UTF-8 text, got {error.reason} at byte "
            f"{error.start}; save it as UTF-8"
        )
        raise ManifestError(detail, pointer=file_pointer(manifest, entry)) from error


CHECKS: Mapping[str, Check] = {
    TENSORS_NAME: check_tensors,
    CONFIG_NAME: check_config,
    LINEAGE_NAME: check_lineage,
    CARD_NAME: check_card,
}


def header_of(
    manifest: Manifest, entry: FileEntry, source: HashingReader
) -> TensorHeader:
    """The header of the tensor file, which stands at its beginning."""
    stream = cast("BinaryIO", source)  # only `read` is called
    return read_header(
        stream,
        file_size=entry.size,
        max_header=max_header_bytes(manifest),
        name=entry.path,
    )


def check_finite(source: HashingReader, tensor: TensorEntry, name: str) -> None:
    """Read one tensor, which comes next, and refuse NaN and infinity in it."""
    left = tensor.end - tensor.start
    while left > 0 and (data := source.read(min(READ_BYTES, left))):
        left -= len(data)
        check_values(data, tensor, name)


def check_values(data: bytes, tensor: TensorEntry, name: str) -> None:
    """Refuse NaN and infinity in whole values of a floating-point tensor of a file."""
    if tensor.dtype not in EXPONENTS:
        return
    view = memoryview(data)
    for at in range(0, len(view), CHUNK_BYTES):
        if has_non_finite(view[at : at + CHUNK_BYTES], tensor.dtype):
            detail = (
                f"{name}: the tensor {tensor.name}: expected finite values, got NaN or "
                f"infinity; {REMEDY}"
            )
            raise NonFiniteTensorError(detail, module=tensor.name)


def has_non_finite(data: bytes | memoryview, dtype: str) -> bool:
    """Whether any value has an exponent of ones only, which means NaN or infinity.

    Last bytes are looked at first: hardly ever is one of them suspect. If one is, all
    values are looked at in one sum of large integers: adding the lowest exponent bit to
    a masked exponent carries into the sign bit just when every bit was one.
    """
    width = EXPONENTS[dtype][0]
    last = bytes(data)[width - 1 :: width]
    if not any(suspect in last for suspect in SUSPECTS[dtype]):
        return False
    exponents, carries, signs = masks(dtype, len(data) // width)
    return bool(((int.from_bytes(data, "little") & exponents) + carries) & signs)


@lru_cache(maxsize=16)
def masks(dtype: str, count: int) -> tuple[int, int, int]:
    """Exponent bits, lowest exponent bits and sign bits of `count` values in a row."""
    width, exponent, lowest = EXPONENTS[dtype]
    ones = int.from_bytes((1).to_bytes(width, "little") * count, "little")
    return ones * exponent, ones * lowest, ones << (8 * width - 1)
