"""A pair of models, two states of one: checked, and subtracted module by module.

Shape suffixes: O out features, I in features.
"""

import math
from collections.abc import Collection
from typing import NoReturn

import torch
from torch import Tensor

from safegene.artifact.architecture import ModuleShape
from safegene.artifact.compatibility import structural_reasons
from safegene.artifact.lineage import (
    LINEAGE_THRESHOLD,
    compare_sketches,
    sketch_from_checkpoint_dir,
    sketch_positions,
)
from safegene.artifact.manifest import SERVABLE_RANKS
from safegene.artifact.segments import layer_index
from safegene.errors import (
    CompatibilityError,
    NonFiniteTensorError,
    RankError,
    ShapeMismatchError,
    UsageError,
)
from safegene.vectors.checkpoint import Checkpoint

_BLOCK_ROWS = 256


def check_rank(rank: int) -> None:
    """Refuse ranks that no serving stack takes.

    Raises:
        RankError: the rank is not positive or above what can be served.
    """
    limit = SERVABLE_RANKS[-1]
    if not 1 <= rank <= limit:
        message = (
            f"expected a rank of 1 to {limit}, the most that is served; got {rank}"
        )
        raise RankError(message)


def check_pair(aligned: Checkpoint, degraded: Checkpoint) -> list[float]:
    """Refuse pairs that are not two states of one model.

    Returns:
        The aligned model's lineage sketch.

    Raises:
        CompatibilityError: the two differ in structure or are strangers.
        NonFiniteTensorError: a sampled weight holds NaN or infinity.
    """
    reasons = tuple(structural_reasons(aligned.architecture, degraded.architecture))
    if reasons:
        message = (
            f"{aligned.model_id} and {degraded.model_id} are not a pair:"
            f" {reasons[0].detail}"
        )
        raise CompatibilityError(message, reasons=reasons)
    sketch, other = finite_sketch(aligned), finite_sketch(degraded)
    score = compare_sketches(sketch, other)
    if not score.bit_equal and score.correlation < LINEAGE_THRESHOLD:
        message = (
            f"{aligned.model_id} and {degraded.model_id} have one structure but are"
            f" strangers: their weights correlate {score.correlation:.2f}, expected at"
            f" least {LINEAGE_THRESHOLD}; extract from two states of one model"
        )
        raise CompatibilityError(message)
    return sketch


def finite_sketch(checkpoint: Checkpoint) -> list[float]:
    """A model's lineage sketch; damaged weights must not be taken for a stranger's.

    Raises:
        NonFiniteTensorError: a sampled weight holds NaN or infinity.
    """
    architecture = checkpoint.architecture
    values = sketch_from_checkpoint_dir(checkpoint.directory, architecture)
    start = 0
    for run in sketch_positions(architecture):
        if not all(map(math.isfinite, values[start : start + run.count])):
            _refuse_weight(checkpoint, run.module)
        start += run.count
    return values


def _refuse_weight(checkpoint: Checkpoint, path: str) -> NoReturn:
    message = f"{checkpoint.model_id}: the weight of {path} holds NaN or infinity"
    raise NonFiniteTensorError(message, module=path)


def wanted_modules(
    aligned: Checkpoint,
    leaf_names: Collection[str] | None,
    layers: Collection[int] | None,
) -> list[ModuleShape]:
    """The modules to take, in model order.

    Args:
        aligned: a model of the pair.
        leaf_names: last path parts; None takes every linear module.
        layers: layers to take; None takes all.

    Raises:
        UsageError: there is no such name or layer, or no module is left.
    """
    every = aligned.architecture.modules
    leaves = {module.path.rpartition(".")[2] for module in every}
    unknown = sorted(set(leaf_names or ()) - leaves)
    if unknown:
        message = f"no linear module is called {unknown[0]}; there are {sorted(leaves)}"
        raise UsageError(message)
    outside = sorted(set(layers or ()) - set(range(aligned.architecture.layers)))
    if outside:
        count = aligned.architecture.layers
        message = f"no layer {outside[0]}: the model has layers 0 to {count - 1}"
        raise UsageError(message)
    wanted = [
        module
        for module in every
        if (leaf_names is None or module.path.rpartition(".")[2] in leaf_names)
        and (layers is None or layer_index(module.path) in layers)
    ]
    if not wanted:
        message = "no module is left to take: give at least one layer and one name"
        raise UsageError(message)
    return wanted


def difference(
    aligned: Checkpoint, degraded: Checkpoint, module: ModuleShape
) -> Tensor:
    """Aligned minus degraded weight of one module, in float32.

    One of the two is in memory at a time, beside the difference.

    Raises:
        ShapeMismatchError: a weight has another shape than its config says.
        NonFiniteTensorError: a weight holds NaN or infinity; the message names it.
    """
    delta_OI = _weight(aligned, module).to(torch.float32, copy=True)
    weight_OI = _weight(degraded, module)
    for start in range(0, module.out_features, _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        delta_OI[rows] -= weight_OI[rows].to(torch.float32)
    if not bool(torch.isfinite(delta_OI.sum())):
        for checkpoint in (aligned, degraded):
            if not bool(torch.isfinite(_weight(checkpoint, module)).all()):
                _refuse_weight(checkpoint, module.path)
    return delta_OI


def _weight(checkpoint: Checkpoint, module: ModuleShape) -> Tensor:
    name = f"{module.path}.weight"
    tensor = checkpoint.read(name)
    expected, actual = (module.out_features, module.in_features), tuple(tensor.shape)
    if actual != expected:
        message = (
            f"{checkpoint.model_id}: {name}: expected shape {expected}, got {actual}"
        )
        raise ShapeMismatchError(
            message, module=module.path, expected=expected, actual=actual
        )
    return tensor
