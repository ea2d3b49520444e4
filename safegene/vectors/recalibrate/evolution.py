"""A solver that only ever runs the target forward: for quantised targets.

Where no gradient comes through (integer kernels, exported graphs), a few coefficients
can still be found by trying. CMA-ES is the usual choice for that many numbers: it
samples points around a mean, ranks them, and learns where to sample next. It starts
from the best uniform coefficient. With many layers, neighbors share one coefficient,
because every number more costs more trials than it is worth.

Shapes: S coefficients, G numbers that are looked for.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from safegene.errors import UsageError
from safegene.vectors.recalibrate.search import DECIMALS, Point, Score
from safegene.vectors.recalibrate.solver import Box

DRAW_BACK = 0.95
"""Share of the budget that drawing a point back to 0 aims at; KL grows about as the
square."""
EXCESS_PRICE = 0.05
"""What a sample pays for a KL of e times the budget, in units of the objective: ranks
samples that had to be drawn back behind equal ones that had not."""
HOPELESS = 1e3
"""Above any objective: a sample that stays over the budget."""
FEWEST = 2
"""Numbers below which there is nothing to learn: uniform is all there is."""


@dataclass(frozen=True)
class GradientFreeSettings:
    """How long to try.

    Raises:
        UsageError: a number is not positive and finite.
    """

    evaluations: int = 60
    """Points tried, whole generations; each measures the KL and, within the budget, the
    objective."""
    numbers: int = 12
    """Most numbers looked for; with more layers, neighbors share one."""
    spread: float = 0.25
    """Standard deviation of the first samples."""

    def __post_init__(self) -> None:
        for name in ("evaluations", "numbers", "spread"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                detail = f"gradient-free {name}: expected a positive number, got"
                detail += f" {value}"
                raise UsageError(detail)


class ForwardProblem(Protocol):
    """What is asked of a target: no derivatives."""

    def kl(self, point_S: Tensor, /) -> float:
        """The real KL."""

    def score(self, point_S: Tensor, /) -> Score:
        """The real objective."""


def evolve(
    problem: ForwardProblem,
    start: Point,
    *,
    budget: float,
    box: Box,
    settings: GradientFreeSettings,
    seed: int,
    report: Callable[[int, int], None],
) -> Point:
    """Try points around `start` and keep the best measured one within the budget.

    A point is kept only if its objective is lower and the objective on the prompts that
    are held back is not higher than at the start.

    Args:
        problem: the target.
        start: the best uniform coefficient, measured.
        budget: the most KL.
        box: where coefficients may be.
        settings: how long to try.
        seed: of the samples.
        report: progress, in points tried.

    Returns:
        The best measured point, `start` itself if none is better.

    Source:
        Hansen 2016, The CMA evolution strategy: a tutorial; the `cma` package.
    """
    place_S = _shared(len(start.coefficients_S), settings.numbers)
    numbers = int(place_S.max()) + 1
    best, tried = start, 0
    if numbers >= FEWEST:
        strategy = _strategy(start, place_S, box, settings, seed)
        while tried < settings.evaluations and not strategy.stop():
            samples = strategy.ask()
            values = []
            for sample_G in samples:
                report(min(tried, settings.evaluations), settings.evaluations)
                point_S = torch.from_numpy(np.asarray(sample_G))[place_S]
                found, value = _tried(problem, point_S, budget, box)
                values.append(value)
                tried += 1
                if found is not None and _is_better(found, best, start):
                    best = found
            strategy.tell(samples, values)
    report(settings.evaluations, settings.evaluations)
    return best


def _shared(size: int, numbers: int) -> Tensor:
    """Which of at most `numbers` numbers each coefficient takes: neighbors share."""
    groups = min(size, numbers)
    return torch.arange(size) * groups // size


def _strategy(
    start: Point,
    place_S: Tensor,
    box: Box,
    settings: GradientFreeSettings,
    seed: int,
) -> Any:
    with warnings.catch_warnings():
        # It tells everybody that it could plot if matplotlib were there.
        warnings.simplefilter("ignore")
        import cma
    generator = np.random.default_rng(seed)
    first = [int((place_S == at).nonzero()[0]) for at in range(int(place_S.max()) + 1)]
    options = {
        "bounds": [box.low_S[first].tolist(), box.high_S[first].tolist()],
        # Its own generator: the process's random state is nobody's to change.
        "seed": float("nan"),
        "randn": lambda *shape: generator.standard_normal(shape),
        "verbose": -10,
        "verb_log": 0,
    }
    return cma.CMAEvolutionStrategy(
        start.coefficients_S[first].tolist(), settings.spread, options
    )


def _tried(
    problem: ForwardProblem, point_S: Tensor, budget: float, box: Box
) -> tuple[Point | None, float]:
    """The point as it would be written, and the value it is ranked by.

    A point over the budget is drawn back to 0 once and pays for it.
    """
    price = 0.0
    for _ in range(2):
        point_S = box.clip(torch.round(point_S, decimals=DECIMALS))
        kl = problem.kl(point_S)
        if kl <= budget:
            score = problem.score(point_S)
            return Point(point_S, kl, score, None), score.total + price
        if not math.isfinite(kl):
            return None, 2 * HOPELESS
        price = EXCESS_PRICE * math.log(kl / budget)
        point_S = point_S * (DRAW_BACK * budget / kl) ** 0.5
    return None, HOPELESS + price


def _is_better(found: Point, best: Point, start: Point) -> bool:
    return (
        found.score.total < best.score.total and found.score.check <= start.score.check
    )
