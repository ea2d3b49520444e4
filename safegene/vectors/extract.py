"""Extracts a safety vector from an aligned and a degraded model: method `delta`.

For every touched module the difference of the two weights is compressed to low rank.
The pair is streamed tensor by tensor, so memory is bounded by the largest matrix.
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from safegene import __version__
from safegene.artifact.architecture import ModuleShape
from safegene.artifact.calibration import decimal_text
from safegene.artifact.compatibility import structural_reasons
from safegene.artifact.lineage import (
    LINEAGE_THRESHOLD,
    compare_sketches,
    sketch_from_checkpoint_dir,
    sketch_positions,
)
from safegene.artifact.manifest import SERVABLE_RANKS, DataEntry, Recipe
from safegene.artifact.segments import layer_index
from safegene.errors import (
    CompatibilityError,
    NonFiniteTensorError,
    RankError,
    ShapeMismatchError,
    UsageError,
)
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.factors import LowRankFactors, truncated_factors
from safegene.vectors.vector import SafetyVector

Progress = Callable[[int, int], None]

METHOD = "delta"


def extract_safety_vector(
    aligned: Checkpoint,
    degraded: Checkpoint,
    *,
    rank: int = 16,
    leaf_names: Collection[str] | None = None,
    layers: Collection[int] | None = None,
    data: Sequence[DataEntry] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> SafetyVector:
    """Compress aligned minus degraded weights into a safety vector.

    Args:
        aligned: the safe model; targets are expected to descend from it.
        degraded: the same model with its safety weakened.
        rank: directions kept per module.
        leaf_names: last path parts of the modules to take, such as `o_proj`; None
            takes every linear module.
        layers: layers to take; None takes all.
        data: digests of what the pair was made with, for the manifest.
        seed: of the randomized decomposition.
        progress: called with modules done and modules in all.

    Raises:
        CompatibilityError: the two models differ in structure or are strangers.
        UsageError: no module is left to take, or the weights do not differ.
        RankError: the rank is not positive or above what can be served.
        NonFiniteTensorError: a weight holds NaN or infinity; the message names it.
    """
    check_rank(rank)
    sketch = check_pair(aligned, degraded)
    modules = wanted_modules(aligned, leaf_names, layers)
    factors: dict[str, LowRankFactors] = {}
    losses = _Losses()
    for done, module in enumerate(modules, 1):
        delta_OI = _difference(aligned, degraded, module)
        part = truncated_factors(delta_OI, rank=rank, module=module.path, seed=seed)
        factors[module.path] = part
        losses.add(module.path, delta_OI, part)
        if progress:
            progress(done, len(modules))
    if losses.nothing:
        message = (
            f"nothing to extract: {aligned.model_id} and {degraded.model_id} have equal"
            " weights in every touched module"
        )
        raise UsageError(message)
    recipe = Recipe(
        method=METHOD,
        rank=rank,
        seed=seed,
        parameters=losses.relative(),
        degraded_model=degraded.ref,
        data=tuple(data),
        tool=f"safegene/{__version__}",
    )
    return SafetyVector(
        architecture=aligned.architecture,
        base_model=aligned.ref,
        factors=factors,
        recipe=recipe,
        sketch=tuple(sketch),
        selected_layers=None if layers is None else tuple(sorted(set(layers))),
    )


class _Losses:
    """Adds up what the compression loses, by layer."""

    def __init__(self) -> None:
        self._lost: dict[int, float] = {}
        self._total: dict[int, float] = {}

    def add(self, path: str, delta_OI: Tensor, part: LowRankFactors) -> None:
        layer = SafetyVector.layer_of(path)
        lost = float((delta_OI - part.delta()).square().sum())
        total = float(delta_OI.square().sum())
        self._lost[layer] = self._lost.get(layer, 0.0) + lost
        self._total[layer] = self._total.get(layer, 0.0) + total

    @property
    def nothing(self) -> bool:
        return sum(self._total.values()) == 0.0

    def relative(self) -> dict[str, str]:
        """Norm of what is lost by norm of the change, over all and for each layer."""
        whole = _share(sum(self._lost.values()), sum(self._total.values()))
        layers = (
            f"{layer}: {_share(self._lost[layer], total)}"
            for layer, total in self._total.items()
        )
        return {"relative_error": whole, "relative_error_by_layer": ", ".join(layers)}


def _share(lost: float, total: float) -> str:
    return decimal_text((lost / total) ** 0.5 if total > 0 else 0.0)


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
    """Refuse pairs that are not two states of one model; return the base's sketch.

    Raises:
        CompatibilityError: the two models differ in structure or are strangers.
        NonFiniteTensorError: a sampled weight holds NaN or infinity.
    """
    reasons = tuple(structural_reasons(aligned.architecture, degraded.architecture))
    if reasons:
        message = (
            f"{aligned.model_id} and {degraded.model_id} are not a pair:"
            f" {reasons[0].detail}"
        )
        raise CompatibilityError(message, reasons=reasons)
    sketch, other = _finite_sketch(aligned), _finite_sketch(degraded)
    score = compare_sketches(sketch, other)
    if not score.bit_equal and score.correlation < LINEAGE_THRESHOLD:
        message = (
            f"{aligned.model_id} and {degraded.model_id} have one structure but are"
            f" strangers: their weights correlate {score.correlation:.2f}, expected at"
            f" least {LINEAGE_THRESHOLD}; extract from two states of one model"
        )
        raise CompatibilityError(message)
    return sketch


def _finite_sketch(checkpoint: Checkpoint) -> list[float]:
    """The lineage sketch; damaged weights must not be taken for a stranger's."""
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
    """The linear modules to take, in model order; see `extract_safety_vector`.

    Raises:
        UsageError: a name or a layer does not exist, or nothing is left to take.
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


def _difference(
    aligned: Checkpoint, degraded: Checkpoint, module: ModuleShape
) -> Tensor:
    name = f"{module.path}.weight"
    first, second = aligned.read(name), degraded.read(name)
    expected = (module.out_features, module.in_features)
    for checkpoint, tensor in ((aligned, first), (degraded, second)):
        if tuple(tensor.shape) != expected:
            message = (
                f"{checkpoint.model_id}: {name}: expected shape {expected}, got"
                f" {tuple(tensor.shape)}"
            )
            raise ShapeMismatchError(
                message,
                module=module.path,
                expected=expected,
                actual=tuple(tensor.shape),
            )
    wide = [tensor.to(torch.float32) for tensor in (first, second)]
    for checkpoint, tensor in zip((aligned, degraded), wide, strict=True):
        if not bool(torch.isfinite(tensor).all()):
            _refuse_weight(checkpoint, module.path)
    return wide[0] - wide[1]
