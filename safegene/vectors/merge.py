"""Writes a vector into weights: in memory, with an exact way back, or file to file.

Updates are added in float32 and cast once to the weight's own dtype. Shape suffixes: O
out features, I in features.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from safegene.artifact.calibration import Coefficients
from safegene.artifact.compatibility import compare, require
from safegene.artifact.tensorfile import TensorEntry, read_header
from safegene.errors import (
    CompatibilityError,
    NonFiniteTensorError,
    ShapeMismatchError,
    UsageError,
)
from safegene.files import fresh_directory
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.lora_adapter import read_lora_adapter
from safegene.vectors.targets import base_weight, find_modules, is_transposed
from safegene.vectors.vector import SafetyVector

Progress = Callable[[int, int], None]

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
_WEIGHT_SUFFIXES = frozenset(
    {
        ".bin",
        ".ckpt",
        ".gguf",
        ".h5",
        ".msgpack",
        ".onnx",
        ".pt",
        ".pth",
        ".safetensors",
    }
)
"""Files that are not copied: they would hold weights without the vector."""


class MergeUndo:
    """The way back from `merge_into`: the original weights, bit for bit."""

    def __init__(self) -> None:
        self._originals: dict[Tensor, Tensor] = {}

    def keep(self, weight: Tensor) -> None:
        """Remember a weight before it changes."""
        self._originals.setdefault(weight, weight.detach().clone())

    @property
    def has_effect(self) -> bool:
        """Whether any weight differs from what it was."""
        return any(
            not torch.equal(weight, original)
            for weight, original in self._originals.items()
        )

    def undo(self) -> None:
        """Restore the weights; a second call does nothing."""
        with torch.no_grad():
            for weight, original in self._originals.items():
                weight.copy_(original)
        self._originals.clear()


def merge_into(
    model: nn.Module,
    vector: SafetyVector,
    coefficients: Coefficients | None = None,
    *,
    allow_negative: bool = False,
) -> MergeUndo:
    """Add a vector to a loaded model's weights; all of it or nothing.

    Args:
        model: float32, float16 or bfloat16; quantised weights are refused.
        vector: made for the model's architecture; check lineage before.
        coefficients: by layer or by module, missing ones count 0; None means 1
            everywhere.
        allow_negative: take coefficients below 0, which remove safety.

    Returns:
        Restores the original bits; it holds a copy of every changed weight.

    Raises:
        CompatibilityError: the model has another structure, quantised weights, or a
            task adapter of a kind that does more than add to the weight.
        ShapeMismatchError: a module has another shape.
        NonFiniteTensorError: a merged weight would hold NaN or infinity.
        UsageError: a coefficient is for what the vector does not touch, negative or not
            finite; or no weight would change: the vector is zero, or too small for the
            dtype.
    """
    changes = _vector_changes(vector, coefficients, allow_negative=allow_negative)
    modules = find_modules(model, vector, to_merge=True)
    for path in changes:
        dtype = base_weight(modules[path]).dtype
        if not dtype.is_floating_point:
            message = f"{path} is quantised ({dtype}); attach the vector instead"
            raise CompatibilityError(message)
    undo = MergeUndo()
    try:
        for path, change in changes.items():
            weight = base_weight(modules[path])
            undo.keep(weight)
            _add_in_place(weight, change, path, transposed=is_transposed(modules[path]))
        if changes and not undo.has_effect:
            _refuse_lost()
    except BaseException:
        undo.undo()
        raise
    return undo


def merge_checkpoint(
    source: Checkpoint,
    vector: SafetyVector,
    out: Path,
    *,
    coefficients: Coefficients | None = None,
    task_adapter: Path | None = None,
    allow_negative: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write a merged checkpoint: a copy in which only the touched tensors differ.

    Shards are copied as files and touched tensors rewritten where they lie, so that
    memory is bounded by the largest matrix and every other byte stays the same.

    Args:
        source: the target's checkpoint; it is not changed.
        vector: made for its architecture; check lineage before.
        out: must not exist yet or be empty; it appears whole or not at all.
        coefficients: by layer or by module, missing ones count 0; None means 1
            everywhere.
        task_adapter: directory of a plain PEFT LoRA adapter to merge as well.
        allow_negative: take coefficients below 0, which remove safety.
        progress: called with shards done and shards in all.

    Raises:
        CompatibilityError: the checkpoint has another structure, lacks a weight or is
            quantised.
        ShapeMismatchError: a weight has another shape than the change for it.
        InvalidDataError: the task adapter is of a kind that cannot be merged exactly.
        NonFiniteTensorError: a merged weight would hold NaN or infinity.
        UsageError: `out` holds files, a coefficient is senseless or negative, or no
            weight would change.
    """
    verdict = compare(vector.architecture, source.config)
    require(verdict, allow_unverified_lineage=True)
    own = _vector_changes(vector, coefficients, allow_negative=allow_negative)
    if vector.changes_nothing or not own:
        message = (
            "nothing to merge: the update is zero in every layer, so the result would"
            f" be {source.model_id} itself; recalibrate with a larger budget, or give"
            " other coefficients"
        )
        raise UsageError(message)
    adapter = {} if task_adapter is None else read_lora_adapter(task_adapter)
    changes = _by_tensor(source, (adapter, own))
    with fresh_directory(out) as work:
        _copy_other_files(source.directory, work)
        changed = False
        for done, shard in enumerate(source.weight_files, 1):
            copy = work / shard.name
            shutil.copyfile(shard, copy)
            changed |= _rewrite(copy, changes)
            if progress:
                progress(done, len(source.weight_files))
        if not changed:
            _refuse_lost()


def _vector_changes(
    vector: SafetyVector,
    coefficients: Coefficients | None,
    *,
    allow_negative: bool,
) -> dict[str, LowRankFactors]:
    by_module = vector.by_module(coefficients, allow_negative=allow_negative)
    return {
        path: vector.factors[path].scaled(coefficient)
        for path, coefficient in by_module.items()
        if coefficient != 0.0
    }


@dataclass
class _TensorChange:
    """What is added to one stored tensor."""

    transposed: bool
    parts: list[LowRankFactors]

    def deltas(self) -> list[Tensor]:
        """The changes, laid out as the tensor is."""
        wide = (part.delta() for part in self.parts)
        return [delta.T if self.transposed else delta for delta in wide]


def _add_in_place(
    weight: Tensor, change: LowRankFactors, name: str, *, transposed: bool
) -> None:
    (delta,) = _TensorChange(transposed, [change]).deltas()
    with torch.no_grad():
        weight.copy_(_added(weight, [delta.to(weight.device)], name))


def _added(weight: Tensor, deltas: list[Tensor], name: str) -> Tensor:
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    for delta in deltas:
        wide = wide + delta
    merged = wide.to(weight.dtype)
    if not bool(torch.isfinite(merged).all()):
        message = f"{name}: the merged weight would hold NaN or infinity"
        raise NonFiniteTensorError(message, module=name.removesuffix(".weight"))
    return merged


def _refuse_lost() -> NoReturn:
    message = (
        "the vector changes no weight: all of it is lost in rounding to the weights'"
        " dtype; attach it instead, merge into a float32 model, or use larger"
        " coefficients"
    )
    raise UsageError(message)


def _by_tensor(
    source: Checkpoint, changes: Iterable[Mapping[str, LowRankFactors]]
) -> dict[str, _TensorChange]:
    """Every change has a weight of its shape; checked before anything is written."""
    entries: dict[str, TensorEntry] = {}
    for shard in source.weight_files:
        entries |= read_header(shard).by_name
    found: dict[str, _TensorChange] = {}
    for path, factors in (item for part in changes for item in part.items()):
        name = f"{path}.weight"
        stored = source.stored_name(name)
        entry = None if stored is None else entries.get(stored)
        if entry is None or entry.dtype not in _DTYPES:
            kind = (
                "no such weight" if entry is None else f"it quantised ({entry.dtype})"
            )
            message = (
                f"cannot merge into {name}: {source.model_id} has {kind}; merge into"
                " the unquantised model, or write an adapter (`safegene apply`)"
            )
            raise CompatibilityError(message)
        transposed = source.is_transposed(name)
        expected = (factors.b_OR.shape[0], factors.a_RI.shape[1])
        actual = entry.shape[::-1] if transposed else entry.shape
        if actual != expected:
            message = (
                f"{name}: expected shape {expected} as of the change, got {actual}"
            )
            raise ShapeMismatchError(
                message, module=name, expected=expected, actual=actual
            )
        found.setdefault(entry.name, _TensorChange(transposed, [])).parts.append(
            factors
        )
    return found


def _rewrite(shard: Path, changes: Mapping[str, _TensorChange]) -> bool:
    """Add the changes where the tensors lie; tell whether any byte is another one."""
    changed = False
    touched = [entry for entry in read_header(shard).tensors if entry.name in changes]
    with shard.open("r+b") as stream:
        for entry in touched:
            stream.seek(entry.start)
            data = bytearray(stream.read(entry.end - entry.start))
            weight = torch.frombuffer(data, dtype=_DTYPES[entry.dtype])
            deltas = changes[entry.name].deltas()
            merged = _added(weight.view(entry.shape), deltas, entry.name)
            merged_bytes = merged.contiguous().view(torch.uint8).numpy().tobytes()
            stream.seek(entry.start)
            stream.write(merged_bytes)
            changed |= merged_bytes != data
    return changed


def _copy_other_files(source: Path, work: Path) -> None:
    """Copy the config, the tokenizer and whatever else is no weight file."""
    for path in sorted(source.iterdir()):
        hidden = path.name.startswith(".")
        if path.is_file() and not hidden and path.suffix not in _WEIGHT_SUFFIXES:
            shutil.copyfile(path, work / path.name)
