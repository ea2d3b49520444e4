"""Reads the header of a safetensors file without torch, trusting nothing.

A safetensors file is an 8-byte little-endian header length, a JSON header and the
tensors' bytes. The header of a hostile file is refused before anything of its claimed
size is allocated. Stable.
"""

import io
import json
import os
import struct
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from safegene.errors import TensorFileError

ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E5M2": 1,
    "F8_E4M3": 1,
    "F8_E8M0": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "F64": 8,
    "I64": 8,
    "U64": 8,
}
"""Bytes an element of each known dtype takes."""

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_DIMENSIONS = 8
_METADATA = "__metadata__"
_UNNAMED = "safetensors file: "
_SHOWN = 120
"""Characters of a wrong name or value that an error shows."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    """First byte in the file."""
    end: int
    """First byte after the tensor in the file."""


@dataclass(frozen=True)
class TensorHeader:
    """What the header says, checked against itself and the file's size."""

    tensors: tuple[TensorEntry, ...]
    """In file order; they tile the bytes after the header."""
    metadata: dict[str, str]
    data_start: int
    """First byte after the header."""
    file_size: int

    @cached_property
    def by_name(self) -> dict[str, TensorEntry]:
        """The tensors by their names."""
        return {tensor.name: tensor for tensor in self.tensors}

    def get(self, name: str) -> TensorEntry | None:
        """The tensor of that name, None when there is none."""
        return self.by_name.get(name)


def read_header(
    source: BinaryIO | Path | bytes,
    *,
    file_size: int | None = None,
    max_header: int = MAX_HEADER_BYTES,
    name: str | None = None,
) -> TensorHeader:
    """Read and check the header.

    Args:
        source: a path, the file's bytes, or a stream at the file's beginning.
        file_size: size of the whole file in bytes, for a stream that cannot tell.
        max_header: largest header accepted, in bytes; never more is allocated.
        name: what to call a stream in errors; a path is called by its last two parts,
            since servers pass messages on.

    Raises:
        TensorFileError: anything about the file is wrong, whatever its bytes.
    """
    if isinstance(source, Path):
        with source.open("rb") as stream:
            last = str(Path(*source.parts[-2:]))
            return read_header(stream, max_header=max_header, name=last)
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    try:
        return _read(source, file_size, max_header)
    except TensorFileError as error:
        if name is None:
            raise
        reason = error.detail.removeprefix(_UNNAMED)
        message = (
            f"{name}: not a sound safetensors file: {reason}; fetch or save the file"
            " again"
        )
        raise TensorFileError(message) from None


def _read(source: BinaryIO, file_size: int | None, max_header: int) -> TensorHeader:
    size = _size_of(source) if file_size is None else file_size
    length = _header_length(source.read(LENGTH_BYTES), size, max_header)
    header = _parse(source.read(length), length)
    data_start = LENGTH_BYTES + length
    metadata = _metadata(header.pop(_METADATA, {}))
    tensors = [_entry(name, facts, data_start) for name, facts in header.items()]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    _check_tiling(tensors, data_start, size)
    return TensorHeader(tuple(tensors), metadata, data_start, size)


def _size_of(stream: BinaryIO) -> int:
    here = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(here)
    return size


def _header_length(prefix: bytes, file_size: int, max_header: int) -> int:
    if len(prefix) < LENGTH_BYTES:
        _refuse(f"expected at least {LENGTH_BYTES} bytes, got {len(prefix)}")
    (length,) = struct.unpack("<Q", prefix)
    if length > max_header:
        _refuse(f"header of {length} bytes is larger than the limit of {max_header}")
    if LENGTH_BYTES + length > file_size:
        _refuse(
            f"header of {length} bytes does not fit the file of {file_size};"
            " the file is truncated"
        )
    return int(length)


def _parse(raw: bytes, length: int) -> dict[str, Any]:
    if len(raw) != length:
        _refuse(f"expected a header of {length} bytes, got {len(raw)}")
    # Other readers go by the format's text here: "begins with {", and UTF-8 only.
    if not raw.startswith(b"{"):
        _refuse("the header is not a JSON object that begins with {")
    try:
        header: dict[str, Any] = json.loads(raw.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        _refuse(f"the header is not JSON: {error}")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            _refuse(f"the header names {_shown(key)} twice")
        result[key] = value
    return result


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(item, str) for item in value.values()
    ):
        _refuse(f"{_METADATA} is not an object of strings")
    try:
        "".join((*value, *value.values())).encode()
    except UnicodeEncodeError:
        # JSON can spell half a character, which is no text to other readers.
        _refuse(f"{_METADATA} holds a lone surrogate")
    return value


def _entry(key: str, facts: Any, data_start: int) -> TensorEntry:
    name = _shown(key)
    if not isinstance(facts, dict) or set(facts) != {"dtype", "shape", "data_offsets"}:
        _refuse(f"tensor {name}: expected exactly dtype, shape and data_offsets")
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        _refuse(f"tensor {name}: unknown dtype {_shown(dtype)}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        _refuse(f"tensor {name}: invalid shape {_shown(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2:  # noqa: PLR2004 - begin and end
        _refuse(f"tensor {name}: invalid data_offsets {_shown(offsets)}")
    begin, end = offsets
    expected = prod(shape) * ITEM_BYTES[dtype]
    if end - begin != expected:
        _refuse(f"tensor {name}: expected {expected} bytes, got {end - begin}")
    return TensorEntry(key, dtype, tuple(shape), data_start + begin, data_start + end)


def _are_sizes(value: Any) -> bool:
    limit = 1 << 62
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item < limit
        for item in value
    )


def _check_tiling(tensors: list[TensorEntry], data_start: int, file_size: int) -> None:
    end = data_start
    for tensor in tensors:
        if tensor.start != end:
            kind = "overlap" if tensor.start < end else "gap"
            name = _shown(tensor.name)
            _refuse(f"tensor {name}: {kind} at byte {tensor.start}, not {end}")
        end = tensor.end
    if end != file_size:
        _refuse(
            f"expected a file of {end} bytes, got {file_size};"
            " the file is truncated or has bytes after its last tensor"
        )


def _shown(value: object) -> str:
    """A hostile value for a message: short, and printable."""
    try:
        return f"{value!r}"[:_SHOWN]
    except RecursionError:
        return "something nested deeply"


def _refuse(reason: str) -> NoReturn:
    message = f"{_UNNAMED}{reason}"
    raise TensorFileError(message)
