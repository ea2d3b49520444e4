"""Selection from end to end: score the layers, keep some of them, say how.

The default keeps all layers. Scores rank them; how many stay is a number of layers or a
limit on the measured slow-down. `random` and `all` are the controls that a ranking has
to beat.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from safegene.artifact.manifest import DataEntry
from safegene.errors import UsageError
from safegene.vectors.choices import Ranking
from safegene.vectors.recalibrate.samples import CalibrationData
from safegene.vectors.select import layer_contrast, select_layers
from safegene.vectors.select_latency import Fit, decode_slowdown, most_layers
from safegene.vectors.select_score import random_scores, score_statistic
from safegene.vectors.vector import SafetyVector


@dataclass(frozen=True)
class Selection:
    """A vector with some of its layers."""

    vector: SafetyVector
    slowdown: float | None
    """Measured, where a limit was given."""


Measure = Callable[[Any, SafetyVector, tuple[int, ...]], float]


def select_for_target(
    model: Any,
    tokenizer: Any,
    vector: SafetyVector,
    *,
    by: Ranking | str = Ranking.ALL,
    data: CalibrationData | None = None,
    keep: int | None = None,
    latency: float | None = None,
    seed: int = 0,
    measure: Measure = decode_slowdown,
) -> Selection:
    """Rank the layers on a target and keep the best of them.

    Args:
        model: the target (or the degraded model), without the vector.
        tokenizer: its tokenizer.
        vector: whose layers are ranked.
        by: "all", "random", "contrast" (needs harmful and look-alike prompts) or
            "score" (needs what recalibration needs).
        data: the prompts; not read for "all" and "random".
        keep: how many layers stay; None keeps all, with their scores recorded.
        latency: instead of `keep`, the most slow-down of decoding, such as 1.05;
            measured on this machine.
        seed: of random ranks, subsampling and sampled labels.
        measure: the slow-down of some layers; for tests.

    Returns:
        The vector with the selection, scores and how they came about in its recipe.

    Raises:
        UsageError: both `keep` and `latency`, one of them with "all", too many or too
            few layers, no data, or nothing is within the limit.
        InvalidDataError: too few prompts of a kind.
        CompatibilityError: the vector does not fit the model.
    """
    ranking = Ranking.parse(by)
    _check(ranking, keep, latency)
    if ranking is Ranking.ALL:
        return Selection(_recorded(vector, ranking, seed, ()), None)
    scores = _scores(model, tokenizer, vector, ranking, data=data, seed=seed)
    fit: Fit | None = None
    if latency is not None:
        ranked = sorted(vector.layers, key=lambda layer: (-scores[layer], layer))
        fit = most_layers(ranked, latency, lambda some: measure(model, vector, some))
        keep = len(fit.layers)
    chosen = select_layers(vector, scores, count=keep)
    read = () if data is None or ranking is Ranking.RANDOM else data.entries()
    return Selection(
        _recorded(chosen, ranking, seed, read), None if fit is None else fit.slowdown
    )


def _check(ranking: Ranking, keep: int | None, latency: float | None) -> None:
    if keep is not None and latency is not None:
        detail = "give a number of layers to keep or a latency, not both"
        raise UsageError(detail)
    if ranking is Ranking.ALL and (keep, latency) != (None, None):
        detail = (
            "all keeps every layer; to keep fewer, rank them by contrast, score or"
            " random"
        )
        raise UsageError(detail)


def _scores(
    model: Any,
    tokenizer: Any,
    vector: SafetyVector,
    ranking: Ranking,
    *,
    data: CalibrationData | None,
    seed: int,
) -> dict[int, float]:
    if ranking is Ranking.RANDOM:
        return random_scores(vector, seed=seed)
    if data is None:
        detail = f"ranking by {ranking} needs prompts, got none"
        raise UsageError(detail)
    if ranking is Ranking.SCORE:
        return score_statistic(model, tokenizer, vector, data, seed=seed)
    return layer_contrast(
        model,
        tokenizer,
        vector,
        harmful=[row.prompt for row in data.harmful],
        harmless=[row.prompt for row in data.lookalike],
    )


def _recorded(
    vector: SafetyVector, ranking: Ranking, seed: int, read: tuple[DataEntry, ...]
) -> SafetyVector:
    """The vector with how its layers were chosen; it is no version any more."""
    recipe = vector.recipe
    facts = {"selected_by": str(ranking), "selected_with_seed": str(seed)}
    named = tuple(
        entry.model_copy(update={"name": f"selection: {entry.name}"}) for entry in read
    )
    recipe = recipe.model_copy(
        update={
            "parameters": {**recipe.parameters, **facts},
            "data": recipe.data + named,
        }
    )
    return replace(vector, recipe=recipe, identity=None, digest=None)
