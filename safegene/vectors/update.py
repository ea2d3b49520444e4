"""Extracts some layers of a vector again and keeps the others as they are.

What is kept keeps its bytes, so a hotfix moves the segments of the changed layers only.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from safegene import __version__
from safegene.artifact.compatibility import structural_reasons
from safegene.artifact.lineage import LINEAGE_THRESHOLD, compare_sketches
from safegene.artifact.manifest import TENSORS_NAME, DataEntry, Recipe
from safegene.artifact.tensorfile import read_header
from safegene.errors import CompatibilityError, RankError, UsageError
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.compression import (
    Progress,
    compress_modules,
    loss_parameters,
    size_parameters,
)
from safegene.vectors.extract import METHOD
from safegene.vectors.pair import check_pair, wanted_modules
from safegene.vectors.peft_format import load_vector
from safegene.vectors.randomized import Size
from safegene.vectors.vector import SafetyVector

_STORED = "F32"


def load_previous(directory: str | Path) -> SafetyVector:
    """Read a version whose layers are to be kept byte for byte.

    Raises:
        ArtifactError: something about the files is wrong; see `load_vector`.
        UsageError: its factors are stored in another dtype than extraction writes.
    """
    vector = load_vector(directory)
    header = read_header(Path(directory) / TENSORS_NAME)
    found = {tensor.dtype for tensor in header.tensors} - {_STORED}
    if found:
        message = (
            f"{directory}: its factors are {found.pop()}, extraction writes {_STORED},"
            " so no layer could keep its bytes; extract the whole vector again"
        )
        raise UsageError(message)
    return vector


def update_safety_vector(
    previous: SafetyVector,
    aligned: Checkpoint,
    degraded: Checkpoint,
    *,
    layers: Collection[int],
    rank: int | None = None,
    energy: float | None = None,
    data: Sequence[DataEntry] = (),
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SafetyVector:
    """Extract some layers again; every other layer's factors stay what they are.

    The modules are those the previous version touches. The recipe holds the previous
    version's digest, the layers and what the rank loses in them.

    Args:
        previous: saved or loaded; see `load_previous`.
        aligned: the safe model, of the previous version's base or a later state of it.
        degraded: the same model with its safety weakened.
        layers: layers to extract again.
        rank: the previous recipe's, which None takes.
        energy: as in `extract_safety_vector`; None takes the previous recipe's.
        data: digests of what the pair was made with.
        seed: of the randomized decomposition.
        workers: as in `extract_safety_vector`.
        progress: called with modules done and modules in all, in order.

    Raises:
        CompatibilityError: the previous version is of another structure or another
            base, or the two models are no pair.
        RankError: the rank is another one than the previous version's.
        UsageError: the previous version has no digest or was not made by extraction,
            no layer is given or one does not exist, or the weights do not differ.
        NonFiniteTensorError: a weight holds NaN or infinity; the message names it.
    """
    _check_origin(previous)
    _check_rank(previous, rank)
    _check_structure(previous, aligned)
    sketch = check_pair(aligned, degraded)
    _check_base(previous, aligned, sketch)
    leaves = {path.rpartition(".")[2] for path in previous.factors}
    modules = wanted_modules(aligned, leaves, layers)
    size = Size(previous.recipe.rank, _energy(previous, energy))
    found = compress_modules(
        aligned,
        degraded,
        modules,
        size,
        seed=seed,
        workers=workers,
        progress=progress,
    )
    again = sorted({SafetyVector.layer_of(path) for path in found})
    factors = dict(previous.factors)
    for path, part in found.items():
        factors[path] = part.factors.padded(previous.rank)
    selected = previous.selected_layers
    return replace(
        previous,
        base_model=aligned.ref,
        factors={
            module.path: factors[module.path]
            for module in previous.architecture.modules
            if module.path in factors
        },
        sketch=tuple(sketch),
        recipe=Recipe(
            method=METHOD,
            rank=previous.recipe.rank,
            seed=seed,
            parameters={
                "previous_version": str(previous.digest),
                "layers_extracted_again": ", ".join(map(str, again)),
            }
            | size_parameters(size, found)
            | loss_parameters(found),
            degraded_model=degraded.ref,
            data=tuple(data),
            tool=f"safegene/{__version__}",
        ),
        # Scores were measured with the old factors.
        layer_scores={
            layer: score
            for layer, score in previous.layer_scores.items()
            if layer not in again
        },
        selected_layers=None if selected is None else tuple({*selected, *again}),
        identity=None,
        digest=None,
    )


def _check_origin(previous: SafetyVector) -> None:
    if previous.digest is None:
        message = "the previous vector has no digest: save it first, or load it"
        raise UsageError(message)
    if previous.recipe.method != METHOD:
        message = (
            f"{previous.identity} was made by {previous.recipe.method!r}: only vectors"
            f" of the method {METHOD!r} can have layers extracted again"
        )
        raise UsageError(message)


def _check_rank(previous: SafetyVector, rank: int | None) -> None:
    expected = previous.recipe.rank
    if rank is not None and rank != expected:
        message = (
            f"{previous.identity} has rank {expected}, got {rank}: with another rank no"
            " layer could keep its bytes; extract the whole vector again"
        )
        raise RankError(message)


def _check_structure(previous: SafetyVector, aligned: Checkpoint) -> None:
    reasons = tuple(structural_reasons(previous.architecture, aligned.architecture))
    if reasons:
        message = (
            f"{previous.identity} is for another structure than {aligned.model_id}:"
            f" {reasons[0].detail}"
        )
        raise CompatibilityError(message, reasons=reasons)


def _check_base(
    previous: SafetyVector, aligned: Checkpoint, sketch: list[float]
) -> None:
    expected, actual = previous.base_model.id, aligned.ref.id
    if expected != actual:
        message = (
            f"{previous.identity} is for the base model {expected}, got {actual}; if"
            " they are the same, say so when the model is opened (--base-model"
            f" {expected})"
        )
        raise CompatibilityError(message)
    score = compare_sketches(previous.sketch, sketch)
    if not score.bit_equal and score.correlation < LINEAGE_THRESHOLD:
        message = (
            f"{aligned.model_id} is called as the base of {previous.identity} but is a"
            f" stranger to it: their weights correlate {score.correlation:.2f},"
            f" expected at least {LINEAGE_THRESHOLD}"
        )
        raise CompatibilityError(message)


def _energy(previous: SafetyVector, given: float | None) -> float | None:
    recorded = previous.recipe.parameters.get("energy")
    return float(recorded) if given is None and recorded is not None else given
