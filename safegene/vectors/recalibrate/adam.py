"""Adam on the same coefficients: what recalibration is compared with.

The usual way to learn a few coefficients is stochastic gradient descent for a hundred
steps or so. Here it lowers the same objective under the same budget, so that cost and
outcome compare. Minibatches of prompts of every kind give the gradient of the objective
and of the KL; where a batch's KL is above the budget, its excess is added as a penalty.
Every few steps the point is measured as the other solvers measure, and the best
measured one within the budget is kept. Nothing here says that it is the paper's own
baseline, whose settings are not public.

Shapes: S coefficients.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from safegene.errors import UsageError
from safegene.vectors.recalibrate.search import DECIMALS, Point, Score
from safegene.vectors.recalibrate.solver import Box

SHRINKS = 2
"""Most times a point over the budget is drawn back to 0 and measured again."""
SHRINK_AIM = 0.95
"""Share of the budget that drawing back aims at; the KL grows about as the square."""


@dataclass(frozen=True)
class AdamSettings:
    """How Adam goes.

    Raises:
        UsageError: a number is not positive and finite, or a beta outside [0, 1).
    """

    learning_rate: float = 0.05
    """How far a first step moves any coefficient; falls to 0 along a straight line."""
    steps: int = 100
    batch_size: int = 16
    """Prompts of each scored kind in a step, and rows for the KL."""
    start: float = 0.0
    """Coefficient of every layer at the start."""
    kl_penalty: float = 1.0
    """What a KL of one budget too much costs, in units of the objective."""
    measure_every: int = 10
    """Steps between two measurements; the last step is measured in any case."""
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        for name in (
            *("learning_rate", "steps", "batch_size"),
            *("kl_penalty", "measure_every"),
        ):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                detail = f"adam {name}: expected a positive number, got {value}"
                raise UsageError(detail)
        if not 0 <= self.start < math.inf:
            detail = f"adam start: expected a number of at least 0, got {self.start}"
            raise UsageError(detail)
        if not all(0 <= beta < 1 for beta in self.betas):
            detail = f"adam betas: expected two numbers in [0, 1), got {self.betas}"
            raise UsageError(detail)


@dataclass(frozen=True)
class SampledSlope:
    """Derivatives by the coefficients, from a minibatch."""

    gradient_S: Tensor
    """Of the objective."""
    kl: float
    """The KL over the minibatch's rows."""
    kl_gradient_S: Tensor


class SampledProblem(Protocol):
    """What Adam asks of a target."""

    def kl(self, point_S: Tensor, /) -> float:
        """The real KL."""

    def score(self, point_S: Tensor, /) -> Score:
        """The real objective."""

    def sampled_slope(
        self, point_S: Tensor, /, *, size: int, generator: torch.Generator
    ) -> SampledSlope:
        """Derivatives of objective and KL over a random minibatch."""


def descend(
    problem: SampledProblem,
    start: Point,
    *,
    budget: float,
    box: Box,
    settings: AdamSettings,
    seed: int,
    report: Callable[[int, int], None],
) -> Point:
    """Run Adam and keep the best measured point within the budget.

    Args:
        problem: the target.
        start: coefficients 0, measured.
        budget: the most KL.
        box: where coefficients may be; every step is clipped to it.
        settings: how Adam goes.
        seed: of the minibatches.
        report: progress, in steps.

    Returns:
        The best measured point, `start` itself if none is better.

    Source:
        Kingma and Ba 2015, Adam: A method for stochastic optimization.
    """
    generator = torch.Generator().manual_seed(seed)
    point = torch.nn.Parameter(
        box.clip(torch.full_like(start.coefficients_S, settings.start))
    )
    adam = torch.optim.Adam([point], lr=settings.learning_rate, betas=settings.betas)
    best = start
    for step in range(settings.steps):
        report(step, settings.steps)
        here_S = point.detach().clone()
        slope = problem.sampled_slope(
            here_S, size=settings.batch_size, generator=generator
        )
        gradient_S = slope.gradient_S
        if slope.kl > budget:
            share = settings.kl_penalty / budget
            gradient_S = gradient_S + share * slope.kl_gradient_S
        with torch.no_grad():
            if bool(torch.isfinite(gradient_S).all()):
                left = 1 - step / settings.steps
                adam.param_groups[0]["lr"] = settings.learning_rate * left
                point.grad = gradient_S.to(point.dtype)
                adam.step()
                point.copy_(box.clip(point))
            else:  # the model broke down here: go on from where it works
                point.copy_(best.coefficients_S)
        done = step + 1
        if done % settings.measure_every == 0 or done == settings.steps:
            found = _measured(problem, point.detach(), budget, box)
            if found is not None and found.score.total < best.score.total:
                best = found
    report(settings.steps, settings.steps)
    return best


def _measured(
    problem: SampledProblem, point_S: Tensor, budget: float, box: Box
) -> Point | None:
    """The point as it would be written, drawn back to 0 until the budget holds it."""
    for _ in range(1 + SHRINKS):
        point_S = box.clip(torch.round(point_S, decimals=DECIMALS))
        if not point_S.any():
            return None
        kl = problem.kl(point_S)
        if kl <= budget:
            return Point(point_S, kl, problem.score(point_S), None)
        share = SHRINK_AIM * budget / kl if math.isfinite(kl) else 0.25
        point_S = point_S * share**0.5
    return None
