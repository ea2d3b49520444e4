"""How far two judges agree: Cohen's kappa, its interval, and who said what.

One judge may be a person: the rules of `outcomes` are validated so, see
`docs/benchmarks/outcomes.md`. Pure functions, no torch.
"""

import random
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from safegene.errors import InvalidDataError
from safegene.evaluation.metrics import RESAMPLES, Estimate, bootstrap_estimate
from safegene.evaluation.outcomes import Outcome

Pair = tuple[Outcome, Outcome]
"""What the first and the second judge said of one answer."""


@dataclass(frozen=True)
class Agreement:
    """Two judges on the same answers."""

    kappa: Estimate
    """Agreement beyond chance: 0 is chance, 1 perfect; `n` counts answers."""
    same: Estimate
    """Share of answers on which both say the same."""
    by_outcome: dict[Outcome, Estimate]
    """Kappa of each outcome against the other three together, where it occurs."""
    confusion: dict[Outcome, dict[Outcome, int]]
    """Answers by what the first judge said, then by what the second said."""


def agreement(
    first: Sequence[Outcome],
    second: Sequence[Outcome],
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Agreement:
    """Compare two judges answer by answer.

    Args:
        first: what one judge said, for instance a person.
        second: what the other said of the same answers, in the same order.
        groups: what answers belong together, for instance their prompt: whole groups
            are resampled, since answers to one prompt are no independent samples.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        InvalidDataError: there are no answers, or the lengths differ.
    """
    if not first or len(first) != len(second):
        detail = (
            "agreement needs two judgements of every answer: got"
            f" {len(first)} and {len(second)}"
        )
        raise InvalidDataError(detail)
    pairs = list(zip(first, second, strict=True))
    keys: Sequence[Hashable] = range(len(pairs)) if groups is None else groups
    grouped: dict[Hashable, list[Pair]] = {}
    for key, pair in zip(keys, pairs, strict=True):
        grouped.setdefault(key, []).append(pair)
    draws = _draws(list(grouped.values()), seed, resamples)

    def estimate(value: float, drawn: Sequence[float]) -> Estimate:
        return bootstrap_estimate(value, drawn, len(pairs))

    seen = [outcome for outcome in Outcome if outcome in {*first, *second}]
    return Agreement(
        kappa=estimate(cohen_kappa(pairs), [cohen_kappa(draw) for draw in draws]),
        same=estimate(_same(pairs), [_same(draw) for draw in draws]),
        by_outcome={
            outcome: estimate(
                cohen_kappa(_only(pairs, outcome)),
                [cohen_kappa(_only(draw, outcome)) for draw in draws],
            )
            for outcome in seen
        },
        confusion=_confusion(pairs),
    )


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float:
    """Cohen's kappa of paired judgements: (observed - chance) / (1 - chance).

    Two judges who both always say the same one thing agree perfectly by definition
    here, though chance explains all of it.

    Raises:
        InvalidDataError: there is nothing to compare.

    Source:
        Cohen 1960, A coefficient of agreement for nominal scales.
    """
    if not pairs:
        detail = "kappa needs at least one pair of judgements, got none"
        raise InvalidDataError(detail)
    n = len(pairs)
    first = Counter(one for one, _ in pairs)
    second = Counter(other for _, other in pairs)
    # Whole numbers as long as possible, or chance 1 would be missed by a rounding.
    observed = sum(one == other for one, other in pairs) * n
    chance = sum(count * second[what] for what, count in first.items())
    if chance == n * n:
        return 1.0
    return (observed - chance) / (n * n - chance)


def _draws(
    groups: Sequence[Sequence[Pair]], seed: int, resamples: int
) -> list[list[Pair]]:
    rng = random.Random(seed)  # noqa: S311 - reproducible, nothing secret
    return [
        [pair for group in rng.choices(groups, k=len(groups)) for pair in group]
        for _ in range(resamples)
    ]


def _same(pairs: Sequence[Pair]) -> float:
    return sum(one is other for one, other in pairs) / len(pairs)


def _only(pairs: Sequence[Pair], outcome: Outcome) -> list[tuple[bool, bool]]:
    return [(one is outcome, other is outcome) for one, other in pairs]


def _confusion(pairs: Sequence[Pair]) -> dict[Outcome, dict[Outcome, int]]:
    counted = Counter(pairs)
    return {one: {other: counted[one, other] for other in Outcome} for one in Outcome}
