"""What reading a sketch out of a large checkpoint costs: bytes and seconds.

The checkpoint is a generated one whose weights are holes in its files: only the reading
counts, and its size is that of the real one.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from safegene.artifact.architecture import Architecture, architecture_from_config
from safegene.artifact.lineage import INDEX_NAME, sketch_from_checkpoint_dir

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
}
"""TinyLlama's: 1.1 billion weights, 2.2 GB in bfloat16."""
SHARD_BYTES = 500_000_000
ITEM = 2
ROUNDS = 20


@dataclass(frozen=True)
class Reading:
    """What reading one sketch took."""

    checkpoint_bytes: int
    shards: int
    values: int
    read_bytes: int
    """Asked of the kernel: headers, index and runs."""
    seconds: tuple[float, ...]


def measure(directory: Path) -> Reading:
    """Write the checkpoint into an empty directory and read its sketch a few times."""
    architecture = architecture_from_config(CONFIG)
    shards = write_checkpoint(directory, architecture)
    seconds: list[float] = []
    before, values = _read_so_far(), 0
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        values = len(sketch_from_checkpoint_dir(directory, architecture))
        seconds.append(time.perf_counter() - begin)
    read = (_read_so_far() - before) // ROUNDS
    return Reading(
        checkpoint_bytes=sum(shard.stat().st_size for shard in shards),
        shards=len(shards),
        values=values,
        read_bytes=read,
        seconds=tuple(seconds),
    )


def write_checkpoint(directory: Path, architecture: Architecture) -> list[Path]:
    """A sharded checkpoint of zeros in bfloat16 that takes next to no room on disk."""
    shapes = {
        f"{module.path}.weight": (module.out_features, module.in_features)
        for module in architecture.modules
    }
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        shapes[name] = (CONFIG["vocab_size"], CONFIG["hidden_size"])
    weight_map: dict[str, str] = {}
    shards: list[Path] = []
    for number, names in enumerate(_shards(shapes)):
        path = directory / f"model-{number + 1:05}.safetensors"
        _write_holes(path, {name: shapes[name] for name in names})
        weight_map |= dict.fromkeys(names, path.name)
        shards.append(path)
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / INDEX_NAME).write_text(json.dumps(index), "utf-8")
    return shards


def _shards(shapes: dict[str, tuple[int, int]]) -> Iterator[Sequence[str]]:
    end = 0
    places: dict[str, int] = {}
    for name, (rows, columns) in shapes.items():
        places[name] = end // SHARD_BYTES
        end += rows * columns * ITEM
    for _, names in groupby(shapes, key=places.__getitem__):
        yield tuple(names)


def _write_holes(path: Path, shapes: dict[str, tuple[int, int]]) -> None:
    end = 0
    header: dict[str, Any] = {}
    for name, (rows, columns) in shapes.items():
        size = rows * columns * ITEM
        header[name] = {
            "dtype": "BF16",
            "shape": [rows, columns],
            "data_offsets": [end, end + size],
        }
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)


def _read_so_far() -> int:
    """Bytes this process has asked the kernel for."""
    lines = Path("/proc/self/io").read_text("ascii").splitlines()
    return int(lines[0].removeprefix("rchar: "))
