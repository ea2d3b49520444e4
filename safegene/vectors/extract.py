"""Extracts a safety vector from an aligned and a degraded model: method `delta`.

For every touched module the difference of the two weights is compressed to low rank.
The pair is streamed tensor by tensor, so memory is bounded by the largest matrix, once
for every worker.
"""

from collections.abc import Collection, Sequence

from safegene import __version__
from safegene.artifact.manifest import DataEntry, Recipe
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.compression import (
    Progress,
    compress_modules,
    loss_parameters,
    size_parameters,
)
from safegene.vectors.pair import check_pair, check_rank, wanted_modules
from safegene.vectors.randomized import Size
from safegene.vectors.vector import SafetyVector

METHOD = "delta"

DEFAULT_RANK = 16


def extract_safety_vector(
    aligned: Checkpoint,
    degraded: Checkpoint,
    *,
    rank: int = DEFAULT_RANK,
    energy: float | None = None,
    leaf_names: Collection[str] | None = None,
    layers: Collection[int] | None = None,
    data: Sequence[DataEntry] = (),
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SafetyVector:
    """Compress aligned minus degraded weights into a safety vector.

    Args:
        aligned: the safe model; targets are expected to descend from it.
        degraded: the same model with its safety weakened.
        rank: directions kept per module.
        energy: share of each change's squared norm to keep, above 0 and at most 1; a
            module then keeps as few directions as that takes, `rank` at most.
        leaf_names: last path parts of the modules to take, such as `o_proj`; None
            takes every linear module.
        layers: layers to take; None takes all.
        data: digests of what the pair was made with, for the manifest.
        seed: of the randomized decomposition.
        workers: modules at work at once, one thread and about three of the largest
            matrices in float32 each; None takes one a core, 4 at most. The result does
            not depend on it.
        progress: called with modules done and modules in all, in order.

    Raises:
        CompatibilityError: the two models differ in structure or are strangers.
        UsageError: no module is left to take, the weights do not differ, or the
            energy or the workers are senseless.
        RankError: the rank is not positive or above what can be served.
        NonFiniteTensorError: a weight holds NaN or infinity; the message names it.
    """
    check_rank(rank)
    size = Size(rank, energy)
    sketch = check_pair(aligned, degraded)
    modules = wanted_modules(aligned, leaf_names, layers)
    found = compress_modules(
        aligned,
        degraded,
        modules,
        size,
        seed=seed,
        workers=workers,
        progress=progress,
    )
    return SafetyVector(
        architecture=aligned.architecture,
        base_model=aligned.ref,
        factors={path: part.factors for path, part in found.items()},
        recipe=Recipe(
            method=METHOD,
            rank=rank,
            seed=seed,
            parameters=size_parameters(size, found) | loss_parameters(found),
            degraded_model=degraded.ref,
            data=tuple(data),
            tool=f"safegene/{__version__}",
        ),
        sketch=tuple(sketch),
        selected_layers=None if layers is None else tuple(sorted(set(layers))),
    )
