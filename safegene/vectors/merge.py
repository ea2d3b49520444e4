"""Writes a vector into weights: in memory, with an exact way back, or file to file.

Updates are added in float32 and cast once to the weight's own dtype.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from safegene.artifact.compatibility import structural_reasons
from safegene.errors import CompatibilityError, InvalidDataError, UsageError
from safegene.files import fresh_directory
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.targets import base_weight, find_modules, plain_path
from safegene.vectors.vector import SafetyVector

Progress = Callable[[int, int], None]

_KEPT_PATTERNS = (
    "*.json",
    "*.jinja",
    "*.model",
    "*.txt",
    "LICENSE*",
)


class MergeUndo:
    """The way back from `merge_into`: the original weights, bit for bit."""

    def __init__(self, originals: Mapping[Tensor, Tensor]) -> None:
        self._originals = dict(originals)

    def undo(self) -> None:
        """Restore the weights; a second call does nothing."""
        with torch.no_grad():
            for weight, original in self._originals.items():
                weight.copy_(original)
        self._originals.clear()


def merge_into(
    model: nn.Module,
    vector: SafetyVector,
    coefficients: Mapping[int, float] | None = None,
) -> MergeUndo:
    """Add a vector to a loaded model's weights.

    Args:
        model: float32, float16 or bfloat16; quantised weights are refused.
        vector: made for the model's architecture; check lineage before.
        coefficients: one a layer, missing ones count 0; None means 1 everywhere.

    Returns:
        Restores the original bits; it holds a copy of every changed weight.

    Raises:
        CompatibilityError: the model lacks a module, or a weight is quantised.
        ShapeMismatchError: a module has another shape.
    """
    modules = find_modules(model, vector)
    weights = {path: base_weight(module) for path, module in modules.items()}
    for path, weight in weights.items():
        if not weight.is_floating_point():
            message = f"{path} is quantised ({weight.dtype}); attach the vector instead"
            raise CompatibilityError(message)
    originals: dict[Tensor, Tensor] = {}
    with torch.no_grad():
        for path, weight in weights.items():
            update = _update(vector, path, coefficients)
            if update is None:
                continue
            originals[weight] = weight.detach().clone()
            weight.copy_(_added(weight, update.to(weight.device)))
    return MergeUndo(originals)


def merge_checkpoint(
    source: Checkpoint,
    vector: SafetyVector,
    out: Path,
    *,
    coefficients: Mapping[int, float] | None = None,
    task_adapter: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a merged checkpoint, shard by shard.

    Args:
        source: the target's checkpoint; it is not changed.
        vector: made for its architecture; check lineage before.
        out: must not exist yet or be empty; it appears whole or not at all.
        coefficients: one a layer, missing ones count 0; None means 1 everywhere.
        task_adapter: directory of a plain PEFT LoRA adapter to merge as well.
        progress: called with shards done and shards in all.

    Raises:
        CompatibilityError: the checkpoint has another structure.
        InvalidDataError: the task adapter is of a kind that cannot be merged exactly.
        UsageError: `out` holds files.
    """
    reasons = tuple(structural_reasons(vector.architecture, source.architecture))
    if reasons:
        message = f"the vector does not fit {source.model_id}: {reasons[0].detail}"
        raise CompatibilityError(message, reasons=reasons)
    adapter = {} if task_adapter is None else read_lora_adapter(task_adapter)
    missing = sorted(
        set(adapter) - {name.removesuffix(".weight") for name in source.names()}
    )
    if missing:
        message = f"{task_adapter}: {source.model_id} has no module {missing[0]}"
        raise InvalidDataError(message)
    with fresh_directory(out) as work:
        _copy_small_files(source.directory, work)
        for done, shard in enumerate(source.weight_files, 1):
            tensors = {}
            for name, weight in source.read_shard(shard):
                path = name.removesuffix(".weight")
                updates = (_update(vector, path, coefficients), adapter.get(path))
                total = _sum(updates)
                tensors[name] = weight if total is None else _added(weight, total())
            save_file(tensors, work / shard.name, metadata={"format": "pt"})
            if progress:
                progress(done, len(source.weight_files))


def read_lora_adapter(directory: Path) -> dict[str, Callable[[], Tensor]]:
    """The weight changes of a plain PEFT LoRA adapter, by module path.

    Raises:
        UsageError: there is no adapter in the directory.
        InvalidDataError: it uses something that is not a plain weight change.
    """
    try:
        config = json.loads((directory / "adapter_config.json").read_bytes())
        tensors = load_file(directory / "adapter_model.safetensors")
    except (OSError, ValueError) as error:
        message = (
            f"no PEFT adapter at {directory}: expected adapter_config.json and"
            f" adapter_model.safetensors ({error})"
        )
        raise UsageError(message) from None
    _refuse_special(directory, config)
    changes: dict[str, Callable[[], Tensor]] = {}
    for key, a in tensors.items():
        path, mark, _ = plain_path(key).partition(".lora_A.")
        if mark:
            b = tensors[key.replace(".lora_A.", ".lora_B.")]
            changes[path] = _Change(a, b, _scaling(config, path))
    return changes


class _Change:
    def __init__(self, a: Tensor, b: Tensor, scaling: float) -> None:
        self._a, self._b, self._scaling = a, b, scaling

    def __call__(self) -> Tensor:
        return self._scaling * (self._b.float() @ self._a.float())


def _refuse_special(directory: Path, config: Mapping[str, Any]) -> None:
    special = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern")
    used = [key for key in special if config.get(key)]
    if config.get("peft_type") != "LORA":
        used.append(f"peft_type {config.get('peft_type')}")
    if config.get("bias", "none") != "none":
        used.append(f"bias {config['bias']}")
    if used:
        message = (
            f"{directory}: an adapter with {', '.join(used)} cannot be merged here;"
            " merge it with PEFT first and pass the merged model"
        )
        raise InvalidDataError(message)


def _scaling(config: Mapping[str, Any], path: str) -> float:
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or rank < 1:
        message = f"adapter_config.json: {path}: r {rank!r} and lora_alpha {alpha!r}"
        raise InvalidDataError(message)
    return float(alpha / rank**0.5 if config.get("use_rslora") else alpha / rank)


def _update(
    vector: SafetyVector, path: str, coefficients: Mapping[int, float] | None
) -> Tensor | None:
    factors = vector.factors.get(path)
    if factors is None:
        return None
    layer = vector.layer_of(path)
    coefficient = 1.0 if coefficients is None else coefficients.get(layer, 0.0)
    if coefficient == 0.0 or layer not in vector.layers:
        return None
    return factors.scaled(coefficient).delta()


def _sum(
    updates: tuple[Tensor | None, Callable[[], Tensor] | None],
) -> Callable[[], Tensor] | None:
    update, change = updates
    if update is None:
        return change
    if change is None:
        return lambda: update
    return lambda: update + change()


def _added(weight: Tensor, update: Tensor) -> Tensor:
    return (weight.to(torch.float32) + update.to(torch.float32)).to(weight.dtype)


def _copy_small_files(source: Path, work: Path) -> None:
    for path in _small_files(source):
        shutil.copyfile(path, work / path.name)


def _small_files(source: Path) -> Iterator[Path]:
    for pattern in _KEPT_PATTERNS:
        yield from (path for path in source.glob(pattern) if path.is_file())
