"""The ways to look for coefficients, and what they have in common.

All of them start from the target without the vector, stay in one box, and return a
point that was measured within the budget.

Shapes: S coefficients.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

import torch

from safegene.errors import UsageError
from safegene.vectors.recalibrate.adam import AdamSettings, descend
from safegene.vectors.recalibrate.evolution import GradientFreeSettings, evolve
from safegene.vectors.recalibrate.search import (
    Point,
    SearchSettings,
    best_uniform,
    improve,
)
from safegene.vectors.recalibrate.solver import Box
from safegene.vectors.recalibrate.target import Target

HIGHEST = 2.0
LOWEST_NEGATIVE = -1.0
"""The lowest coefficient where negative ones are allowed."""

EDITIONS = {"trust-region": 2}
"""Of what a solver does, where it is not the first: 2 leaves lesser uniform
coefficients out where the objective falls on."""

Progress = Callable[[str, int, int], None]
"""Called with the stage, what is done of it and what there is to do."""


class Solver(StrEnum):
    """How coefficients are looked for."""

    TRUST_REGION = "trust-region"
    """Damped Gauss-Newton steps in the metric of the KL; the default."""
    ADAM = "adam"
    """Stochastic gradient descent, to compare with."""
    GRADIENT_FREE = "gradient-free"
    """Tries points, forward only: for targets that give no gradients."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The solver of a name.

        Raises:
            UsageError: there is none of that name.
        """
        try:
            return cls(text)
        except ValueError:
            names = ", ".join(cls)
            detail = f"solver: expected one of {names}, got {text!r}"
            raise UsageError(detail) from None

    @property
    def needs_fisher(self) -> bool:
        """Whether it reads the Fisher matrix at coefficients 0."""
        return self is Solver.TRUST_REGION

    @property
    def needs_gradients(self) -> bool:
        """Whether the target has to be differentiable."""
        return self is not Solver.GRADIENT_FREE

    @property
    def recorded(self) -> str:
        """What the calibration says: the name and the edition of what it does."""
        return f"{self}-{EDITIONS.get(self.value, 1)}"


@dataclass(frozen=True)
class Plan:
    """Which solver, within what."""

    solver: Solver
    budget: float
    """The most KL, in nats per token."""
    allow_negative: bool
    seed: int
    search: SearchSettings
    adam: AdamSettings
    gradient_free: GradientFreeSettings

    def box(self, size: int) -> Box:
        """Where the coefficients may be."""
        lowest = LOWEST_NEGATIVE if self.allow_negative else 0.0
        low_S = torch.full((size,), lowest, dtype=torch.float64)
        return Box(low_S, torch.full_like(low_S, HIGHEST))


@dataclass(frozen=True)
class Found:
    """The measured points."""

    before: Point
    """Without the vector."""
    uniform: Point | None
    """The best coefficient that is the same everywhere; None if not looked for."""
    after: Point


def solve(target: Target, size: int, plan: Plan, report: Progress) -> Found:
    """Measure without the vector, then let the solver look.

    Args:
        target: recorded.
        size: number of coefficients.
        plan: which solver, within what.
        report: progress.
    """
    zero_S = torch.zeros(size, dtype=torch.float64)
    report("before", 0, 1)
    before = Point(zero_S, 0.0, target.score(zero_S), 0.0)
    report("before", 1, 1)
    box = plan.box(size)
    if plan.solver is Solver.ADAM:
        after = descend(
            target,
            before,
            budget=plan.budget,
            box=box,
            settings=plan.adam,
            seed=plan.seed,
            report=_stage(report, "steps"),
        )
        return Found(before, None, after)
    uniform = best_uniform(
        target,
        before,
        budget=plan.budget,
        highest=HIGHEST,
        settings=plan.search,
        report=_stage(report, "uniform"),
        by_slope=plan.solver.needs_gradients,
    )
    if plan.solver is Solver.GRADIENT_FREE:
        # Without F there is no prediction.
        best = replace(uniform.point, predicted_kl=None)
        after = evolve(
            target,
            best,
            budget=plan.budget,
            box=box,
            settings=plan.gradient_free,
            seed=plan.seed,
            report=_stage(report, "steps"),
        )
        return Found(before, best, after)
    after = improve(
        target,
        uniform,
        budget=plan.budget,
        box=box,
        settings=plan.search,
        report=_stage(report, "steps"),
    )
    return Found(before, uniform.point, after)


def _stage(report: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: report(name, done, total)
