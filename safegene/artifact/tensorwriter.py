"""Writes safetensors files whose tensors lie in a chosen order.

The reference library sorts by dtype and name, which puts layer 10 before layer 2; a
range of layers would then not be one byte range. The bytes are a function of the input.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

HEADER_ALIGN = 8


def write_tensor_file(
    path: Path,
    tensors: Iterable[tuple[str, tuple[int, ...], bytes]],
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write F32 tensors in the order given.

    Args:
        path: the file to write.
        tensors: name, shape and little-endian bytes of each.
        metadata: at most one key, since more make the bytes depend on the reader.
    """
    path.write_bytes(tensor_file_bytes(tensors, metadata=metadata))


def tensor_file_bytes(
    tensors: Iterable[tuple[str, tuple[int, ...], bytes]],
    *,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of such a file; see `write_tensor_file`."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    chunks: list[bytes] = []
    end = 0
    for name, shape, data in tensors:
        begin, end = end, end + len(data)
        header[name] = {
            "dtype": "F32",
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
        chunks.append(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_ALIGN)
    return b"".join([struct.pack("<Q", len(text)), text, *chunks])
