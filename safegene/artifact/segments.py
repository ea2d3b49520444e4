"""Segments: byte ranges of a tensor file that can be fetched and verified alone.

The header is one segment, then one per layer, in file order; together they tile the
file. A client that holds an older version fetches only the ranges that changed, and
segments that all verify prove the whole file. Stable.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from safegene.artifact.digest import CHUNK_BYTES, Digest, digest_chunks
from safegene.artifact.manifest import Segment
from safegene.artifact.tensorfile import TensorHeader, read_header
from safegene.errors import DigestMismatchError, SizeMismatchError, TensorFileError

Bounds = tuple[int, int, tuple[int, ...]]
"""First byte, first byte after, layers."""

_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d{1,6})\.")


def layer_index(tensor_name: str) -> int | None:
    """The layer number in a tensor's or module's path, None when it has none."""
    match = _LAYER.search(f".{tensor_name}.")
    return int(match[1]) if match else None


def segment_file(
    path: Path, layer_of: Callable[[str], int | None] = layer_index
) -> tuple[Segment, ...]:
    """Cut a tensor file into its header and one segment per layer.

    Args:
        path: a safetensors file whose tensors are ordered by layer number.
        layer_of: layer number of a tensor name.

    Raises:
        TensorFileError: the file is malformed, or its layers are not in rising order.
    """
    header = read_header(path)
    with path.open("rb") as stream:
        return tuple(
            Segment(
                offset=start,
                size=end - start,
                digest=str(digest_chunks(_range(stream, start, end - start))),
                layers=layers,
            )
            for start, end, layers in segment_bounds(header, path.name, layer_of)
        )


def segment_bounds(
    header: TensorHeader,
    name: str,
    layer_of: Callable[[str], int | None] = layer_index,
) -> tuple[Bounds, ...]:
    """Where a tensor file is cut: first byte, first byte after, layers.

    Args:
        header: of the file.
        name: what to call the file in errors.
        layer_of: layer number of a tensor name.

    Raises:
        TensorFileError: the layers are not in rising order.
    """
    bounds: list[Bounds] = [(0, header.data_start, ())]
    last = -1
    for layer, group in groupby(header.tensors, lambda tensor: layer_of(tensor.name)):
        tensors = list(group)
        if layer is None or layer <= last:
            message = (
                f"{name}: tensor {tensors[0].name!r} of layer {layer} follows"
                f" layer {last}; expected rising layer numbers"
            )
            raise TensorFileError(message)
        bounds.append((tensors[0].start, tensors[-1].end, (layer,)))
        last = layer
    return tuple(bounds)


def verify_segments(path: Path, segments: Sequence[Segment]) -> Digest:
    """Check that a file is exactly the bytes its segments promise, in one reading.

    Args:
        path: of the file.
        segments: that tile it, in order.

    Returns:
        Digest of the whole file.

    Raises:
        SizeMismatchError: the file is shorter or longer than the segments.
        DigestMismatchError: a segment's bytes differ; the message names its layers.
    """
    expected = sum(segment.size for segment in segments)
    actual = path.stat().st_size
    if actual != expected:
        message = (
            f"{path.name}: expected {expected} bytes, got {actual}; the file was cut or"
            " added to, fetch it again"
        )
        raise SizeMismatchError(message, expected=expected, actual=actual)
    whole = hashlib.sha256()
    with path.open("rb") as stream:
        for segment in segments:
            _check(stream, segment, path.name, whole.update)
    return Digest(whole.hexdigest())


def changed_ranges(
    old: Iterable[Segment], new: Iterable[Segment]
) -> tuple[tuple[int, int], ...]:
    """Ranges of the new file that the old one does not hold, neighbors joined.

    Returns:
        Pairs of first byte and first byte after, in file order.
    """
    known = {segment.digest for segment in old}
    ranges: list[tuple[int, int]] = []
    for segment in new:
        if segment.digest in known:
            continue
        end = segment.offset + segment.size
        if ranges and ranges[-1][1] == segment.offset:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((segment.offset, end))
    return tuple(ranges)


def _check(
    stream: BinaryIO, segment: Segment, name: str, see: Callable[[bytes], None]
) -> None:
    def chunks() -> Iterable[bytes]:
        for chunk in _range(stream, segment.offset, segment.size):
            see(chunk)
            yield chunk

    actual = digest_chunks(chunks())
    if str(actual) == segment.digest:
        return
    layers = ", ".join(map(str, segment.layers))
    part = f"layer {layers}" if layers else "the header"
    message = (
        f"{name}: {part} (bytes {segment.offset} to"
        f" {segment.offset + segment.size}): expected digest {segment.digest}, got"
        f" {actual}; the bytes were changed, fetch them again"
    )
    raise DigestMismatchError(message, expected=segment.digest, actual=str(actual))


def _range(stream: BinaryIO, offset: int, size: int) -> Iterable[bytes]:
    stream.seek(offset)
    left = size
    while left and (chunk := stream.read(min(left, CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk
