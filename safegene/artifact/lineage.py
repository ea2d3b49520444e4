"""The lineage sketch: a few thousand base weights that tell descendants from strangers.

Shapes cannot tell two unrelated models of one structure apart. The sketch samples runs
of weights at positions that follow from the fingerprint alone, so any two models of a
family can be compared; a descendant correlates near 1, a stranger no more than chance.
Reading costs a few dozen small reads, from a file or over HTTP ranges, without torch.
"""

import hashlib
import json
import struct
from array import array
from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path
from typing import BinaryIO, Protocol

from safegene.artifact.architecture import Architecture
from safegene.artifact.tensorfile import ITEM_BYTES, TensorEntry, read_header
from safegene.artifact.tensorwriter import tensor_file_bytes
from safegene.errors import TensorFileError

MAX_RUNS = 64
RUN_VALUES = 64
ALIGN_VALUES = 1024
"""Runs start at multiples of this many elements, so that a read stays in one block."""

LINEAGE_THRESHOLD = 0.5
"""Least correlation of a descendant. Measured by origin in docs/benchmarks/lineage.md:
descendants have .74 and more, strangers .03 and less."""

SPARED = 0.1
"""Share of the runs that may agree less, as a few pruned or zeroed heads make them."""

COMPARABLE_DTYPES = ("F32", "F16", "BF16")
"""Dtypes whose values a sketch can be taken from; quantised weights have others."""

SKETCH_TENSOR = "sketch"
INDEX_NAME = "model.safetensors.index.json"
WEIGHTS_NAME = "model.safetensors"
MAX_INDEX_BYTES = 1 << 25
"""Of an index; one of a model with 1000 layers has two megabytes."""


@dataclass(frozen=True)
class SketchRun:
    """Consecutive elements of one module's weight, in the order they are stored in."""

    module: str
    offset: int
    count: int


@dataclass(frozen=True)
class LineageScore:
    """How alike two sketches are."""

    correlation: float
    """Of the values of one run, Pearson's: the run that a tenth of the others is below.
    0 where either side is constant or not finite."""
    bit_equal: bool


def sketch_positions(architecture: Architecture) -> tuple[SketchRun, ...]:
    """Where a family's sketch is taken; a function of the fingerprint alone."""
    state = hashlib.sha256(str(architecture.fingerprint).encode()).digest()
    count = min(MAX_RUNS, len(architecture.modules))
    runs = []
    for number in range(count):
        # Evenly spread over the modules, so that every depth is sampled.
        module = architecture.modules[number * len(architecture.modules) // count]
        draw = hashlib.sha256(state + number.to_bytes(4, "little")).digest()
        size = module.out_features * module.in_features
        values = min(RUN_VALUES, size)
        blocks = (size - values) // ALIGN_VALUES + 1
        offset = int.from_bytes(draw[:8], "little") % blocks * ALIGN_VALUES
        runs.append(SketchRun(module.path, offset, values))
    return tuple(runs)


def read_sketch(
    positions: Sequence[SketchRun],
    read: Callable[[str, int, int], Sequence[float]],
) -> list[float]:
    """Gather a sketch through `read(tensor name, offset, count)`, run by run."""
    values: list[float] = []
    for run in positions:
        values.extend(read(f"{run.module}.weight", run.offset, run.count))
    return values


def stored_name(name: str, names: Container[str]) -> str | None:
    """The name a checkpoint stores a tensor under; None when it has none.

    Checkpoints saved from a bare model (`GPT2Model`, as the Hub's `gpt2` was) lack the
    first part of every name, and transformers adds it when loading; so do we.

    Args:
        name: as in the language model, such as `transformer.h.0.attn.c_attn.weight`.
        names: what the checkpoint holds.
    """
    bare = name.partition(".")[2]
    return next((known for known in (name, bare) if known in names), None)


def sketch_from_checkpoint_dir(
    directory: Path, architecture: Architecture
) -> list[float]:
    """Read the sketch of a safetensors checkpoint; only the sampled bytes are read.

    Raises:
        TensorFileError: there is no safetensors checkpoint, a file is malformed, or a
            weight of the architecture is missing, of another size or dtype.
    """
    reader = CheckpointReader(LocalFiles(directory))
    return read_sketch(sketch_positions(architecture), reader.read)


class WeightFiles(Protocol):
    """The files of a checkpoint, wherever they are."""

    def __str__(self) -> str:
        """Where that is, for people."""

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to seek and read in; it fetches what is read, and no more."""


@dataclass(frozen=True)
class LocalFiles:
    """The files in a directory of this machine."""

    directory: Path

    def __str__(self) -> str:
        return str(self.directory)

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return (self.directory / name).is_file()

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file; unbuffered, since a buffer fetches many times what a run has."""
        return (self.directory / name).open("rb", buffering=0)


class CheckpointReader:
    """Reads single runs of weights from safetensors files.

    Args:
        files: `model.safetensors`, or shards and their index.

    Raises:
        TensorFileError: neither is there, or the index is malformed.
    """

    def __init__(self, files: WeightFiles) -> None:
        self._files = files
        self._places: dict[str, tuple[str, TensorEntry]] = {}
        for name in self._names():
            with files.open(name) as stream:
                header = read_header(stream, name=f"{files}: {name}")
            for tensor in header.tensors:
                self._places[tensor.name] = (name, tensor)

    def can_read(self, name: str) -> bool:
        """Whether there is such a tensor, in a dtype that can be compared."""
        place = self._place(name)
        return place is not None and place[1].dtype in COMPARABLE_DTYPES

    def read(self, name: str, offset: int, count: int) -> list[float]:
        """Elements `offset` to `offset + count` of a tensor, as numbers.

        Raises:
            TensorFileError: no such tensor, too few elements or an unreadable dtype.
        """
        place = self._place(name)
        if place is None:
            message = f"{self._files}: the checkpoint has no tensor {name}"
            raise TensorFileError(message)
        file, tensor = place
        width = ITEM_BYTES[tensor.dtype]
        start = tensor.start + offset * width
        if start + count * width > tensor.end:
            message = f"{self._files}: {name} has fewer than {offset + count} values"
            raise TensorFileError(message)
        with self._files.open(file) as stream:
            stream.seek(start)
            return decode_values(stream.read(count * width), tensor.dtype)

    def _place(self, name: str) -> tuple[str, TensorEntry] | None:
        stored = stored_name(name, self._places)
        return None if stored is None else self._places[stored]

    def _names(self) -> list[str]:
        """Of the files with weights."""
        files = self._files
        if files.has(WEIGHTS_NAME):
            return [WEIGHTS_NAME]
        if not files.has(INDEX_NAME):
            message = (
                f"{files}: expected {WEIGHTS_NAME} or {INDEX_NAME}; only safetensors"
                " checkpoints can be checked"
            )
            raise TensorFileError(message)
        with files.open(INDEX_NAME) as stream:
            data = stream.read(MAX_INDEX_BYTES)
        try:
            names = set(json.loads(data)["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            message = f"{files}: {INDEX_NAME} is not a safetensors index"
            raise TensorFileError(message) from None
        if not all(isinstance(name, str) and Path(name).name == name for name in names):
            message = f"{files}: {INDEX_NAME} names a shard outside its directory"
            raise TensorFileError(message)
        missing = [name for name in sorted(names) if not files.has(name)]
        if missing:
            message = f"{files}: {INDEX_NAME}: the shard {missing[0]} is missing"
            raise TensorFileError(message)
        return sorted(names)


def decode_values(data: bytes, dtype: str) -> list[float]:
    """Decode little-endian F32, F16 or BF16.

    Raises:
        TensorFileError: another dtype; quantised weights have no lineage sketch.
    """
    match dtype:
        case "F32":
            return list(struct.unpack(f"<{len(data) // 4}f", data))
        case "F16":
            return list(struct.unpack(f"<{len(data) // 2}e", data))
        case "BF16":
            halves = struct.unpack(f"<{len(data) // 2}H", data)
            wide = struct.pack(f"<{len(halves)}I", *(half << 16 for half in halves))
            return list(struct.unpack(f"<{len(halves)}f", wide))
        case _:
            wanted = ", ".join(COMPARABLE_DTYPES)
            message = f"cannot compare weights of dtype {dtype}: want one of {wanted}"
            raise TensorFileError(message)


def compare_sketches(first: Sequence[float], second: Sequence[float]) -> LineageScore:
    """Compare run by run; other lengths or senseless values score 0.

    One correlation of all values would hide that some kinds of modules differ: with the
    heads of attention in another order, the feed-forward half still agrees.
    """
    if len(first) != len(second) or not first:
        return LineageScore(0.0, bit_equal=False)
    equal = array("f", first) == array("f", second)
    runs = sorted(
        correlation(
            first[start : start + RUN_VALUES], second[start : start + RUN_VALUES]
        )
        for start in range(0, len(first), RUN_VALUES)
    )
    return LineageScore(runs[int(len(runs) * SPARED)], bit_equal=equal)


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's, of as many values; 0 if either side is constant or not finite."""
    if not all(map(isfinite, first)) or not all(map(isfinite, second)):
        return 0.0
    mean_1, mean_2 = sum(first) / len(first), sum(second) / len(second)
    pairs = [(x - mean_1, y - mean_2) for x, y in zip(first, second, strict=True)]
    norm = sqrt(sum(x * x for x, _ in pairs)) * sqrt(sum(y * y for _, y in pairs))
    return sum(x * y for x, y in pairs) / norm if norm > 0 else 0.0


def write_sketch(values: Sequence[float]) -> bytes:
    """The bytes of `lineage.safetensors`: one F32 tensor, no metadata."""
    data = struct.pack(f"<{len(values)}f", *values)
    return tensor_file_bytes([(SKETCH_TENSOR, (len(values),), data)])


def load_sketch(source: Path | BinaryIO, architecture: Architecture) -> list[float]:
    """Read `lineage.safetensors` of a vector made for `architecture`.

    Args:
        source: the file, or a seekable stream at its beginning.
        architecture: of the base model.

    Raises:
        TensorFileError: it is malformed or has another number of values.
    """
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return _read_values(stream, str(Path(*source.parts[-2:])), architecture)
    return _read_values(source, "the lineage sketch", architecture)


def _read_values(
    stream: BinaryIO, name: str, architecture: Architecture
) -> list[float]:
    expected = sum(run.count for run in sketch_positions(architecture))
    entry = read_header(stream, name=name).get(SKETCH_TENSOR)
    if entry is None or entry.dtype != "F32" or entry.shape != (expected,):
        found = "none" if entry is None else f"{entry.dtype} {entry.shape}"
        message = (
            f"{name}: expected one F32 tensor {SKETCH_TENSOR!r} of {expected} values,"
            f" got {found}"
        )
        raise TensorFileError(message)
    stream.seek(entry.start)
    return decode_values(stream.read(entry.end - entry.start), "F32")
