"""Targets that are formulas, for the solvers that choose coefficients."""

from dataclasses import dataclass, field
from typing import Any

import torch

from safegene.vectors.recalibrate.search import Point, Score

BUDGET = 0.02
HIGHEST = 2.0


@dataclass
class Formula:
    """Objective: distance to an ideal; KL: a bowl. No derivatives."""

    ideal: torch.Tensor
    costs: torch.Tensor
    check_follows: bool = True
    scored: list[torch.Tensor] = field(default_factory=list)

    def kl(self, point: torch.Tensor) -> float:
        return float((self.costs * point**2).sum())

    def score(self, point: torch.Tensor) -> Score:
        self.scored.append(point.clone())
        value = float(((point - self.ideal) ** 2).mean())
        return Score(value, value if self.check_follows else -value)


def numbers(values: list[float]) -> torch.Tensor:
    """In float64, as solvers take them."""
    return torch.tensor(values, dtype=torch.float64)


def quiet(done: int, total: int) -> None:
    """Progress that is checked and not shown."""
    assert 0 <= done <= total


def assert_kept_its_promises(target: Any, start: Point, found: Point) -> None:
    """Within budget and box, never worse, and nothing over budget was ever scored."""
    assert found.kl <= BUDGET
    assert found.kl == target.kl(found.coefficients_S)
    assert found.score.total <= start.score.total
    assert all(target.kl(point) <= BUDGET for point in target.scored)
    assert float(found.coefficients_S.min()) >= 0
    assert float(found.coefficients_S.max()) <= HIGHEST
