"""The search, on targets whose objective and KL are formulas."""

from dataclasses import dataclass, field, replace

import pytest
import torch
from support.formulas import BUDGET, numbers, quiet

from safegene.vectors.recalibrate.search import (
    Point,
    Score,
    SearchSettings,
    Slope,
    best_uniform,
    improve,
)
from safegene.vectors.recalibrate.solver import Box, half_form

SETTINGS = SearchSettings(trials=8, slopes=4, radius=0.5, kl_price=0.01)
"""More and larger steps than the default, to reach what is ideal on paper."""


@dataclass
class FormulaTarget:
    """Objective: distance to an ideal; KL: a quartic bowl that F knows half of."""

    ideal: torch.Tensor
    fisher: torch.Tensor
    quartic: float = 0.0
    check_follows: bool = True
    measured: list[tuple[torch.Tensor, float]] = field(default_factory=list)
    scored: list[torch.Tensor] = field(default_factory=list)

    def kl(self, point: torch.Tensor) -> float:
        quadratic = half_form(self.fisher, point)
        kl = quadratic + self.quartic * quadratic**2 / BUDGET
        self.measured.append((point, kl))
        return kl

    def value(self, point: torch.Tensor) -> float:
        return float(((point - self.ideal) ** 2).mean()) + 0.1

    def score(self, point: torch.Tensor, *, ahead: bool = False) -> Score:
        self.scored.append(point)
        value = self.value(point)
        return Score(value, value if self.check_follows else -value)

    def slope(self, point: torch.Tensor) -> Slope:
        size = len(self.ideal)
        gradient = 2 * (point - self.ideal) / size
        quadratic = half_form(self.fisher, point)
        steeper = 1 + 2 * self.quartic * quadratic / BUDGET
        return Slope(
            gradient,
            2 / size * torch.eye(size, dtype=torch.float64),
            steeper * (self.fisher @ point),
        )


def _target(ideal: list[float], costs: list[float], **options) -> FormulaTarget:
    return FormulaTarget(
        numbers(ideal),
        torch.diag(numbers(costs)),
        **options,
    )


def _run(target: FormulaTarget, *, low: float = 0.0, budget: float = BUDGET):
    zero = torch.zeros(len(target.ideal), dtype=torch.float64)
    start = Point(zero, 0.0, target.score(zero), 0.0)
    uniform = best_uniform(
        target, start, budget=budget, highest=2.0, settings=SETTINGS, report=quiet
    )
    box = Box(torch.full_like(zero, low), torch.full_like(zero, 2.0))
    after = improve(
        target, uniform, budget=budget, box=box, settings=SETTINGS, report=quiet
    )
    return start, uniform.point, after


def test_largest_uniform_coefficient_fills_the_budget():
    target = _target([2.0, 2.0, 2.0], [0.02, 0.02, 0.02])

    _, uniform, _ = _run(target)

    assert 0.85 * BUDGET <= uniform.kl <= BUDGET
    assert uniform.coefficients_S.unique().numel() == 1


def test_best_uniform_coefficient_is_not_always_the_largest():
    target = _target([0.4, 0.4], [1e-4, 1e-4])

    _, uniform, _ = _run(target)

    assert float(uniform.coefficients_S[0]) == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(
    ("ideal", "tried"),
    [pytest.param(2.0, 1, id="it falls on"), pytest.param(0.4, 5, id="it rises")],
)
def test_lesser_coefficients_are_tried_only_where_the_objective_does_not_fall_on(
    ideal, tried
):
    """Each costs a pass over all prompts."""
    target = _target([ideal, ideal], [1e-2, 1e-2])
    start = Point(numbers([0, 0]), 0.0, target.score(numbers([0, 0])), 0.0)

    def best(*, by_slope):
        target.scored.clear()
        found = best_uniform(
            target,
            start,
            budget=BUDGET,
            highest=2.0,
            settings=SETTINGS,
            report=quiet,
            by_slope=by_slope,
        )
        return found, len(target.scored)

    ahead, few = best(by_slope=True)
    without, all_of_them = best(by_slope=False)

    assert torch.equal(ahead.point.coefficients_S, without.point.coefficients_S)
    assert few == tried
    assert all_of_them >= 4
    assert (ahead.slope is None) == (tried > 1)
    assert without.slope is None


@pytest.mark.parametrize("quartic", [0.0, 5.0, 50.0])
def test_budget_holds_where_the_quadratic_underestimates_the_kl(quartic):
    target = _target([2.0, 0.0, 1.0, 2.0], [0.05, 0.02, 0.01, 0.03], quartic=quartic)

    _, uniform, after = _run(target)

    assert uniform.kl <= BUDGET
    assert after.kl <= BUDGET
    kls = {tuple(point.tolist()): kl for point, kl in target.measured}
    assert after.kl == kls[tuple(after.coefficients_S.tolist())]
    assert after.score.total < uniform.score.total


def test_steps_reach_the_ideal_that_the_budget_allows():
    target = _target([1.5, 0.0, 0.7], [1e-4, 1e-4, 1e-4])

    _, _, after = _run(target)

    assert torch.allclose(after.coefficients_S, target.ideal, atol=0.1)


def test_steps_end_never_worse_than_uniform_when_slopes_mislead():
    class Misled(FormulaTarget):
        def slope(self, point: torch.Tensor) -> Slope:
            honest = super().slope(point)
            return replace(honest, gradient_S=-honest.gradient_S)

    target = Misled(
        torch.tensor([1.0, 0.2], dtype=torch.float64),
        1e-3 * torch.eye(2, dtype=torch.float64),
    )

    _, uniform, after = _run(target)

    assert after.score.total <= uniform.score.total
    assert torch.equal(after.coefficients_S, uniform.coefficients_S)


def test_steps_that_only_fit_the_seen_prompts_are_refused():
    target = _target([1.5, 0.0], [1e-3, 1e-3], check_follows=False)

    _, uniform, after = _run(target)

    assert torch.equal(after.coefficients_S, uniform.coefficients_S)


def test_nothing_over_budget_is_ever_scored():
    target = _target([2.0, 2.0], [0.5, 0.01], quartic=20.0)

    _run(target)

    kls = {tuple(point.tolist()): kl for point, kl in target.measured}
    for point in target.scored:
        assert kls.get(tuple(point.tolist()), 0.0) <= BUDGET


def test_negative_coefficients_only_where_the_box_allows_them():
    target = _target([1.0, -0.8], [1e-3, 1e-3])

    _, _, boxed = _run(target)
    _, _, free = _run(target, low=-1.0)

    assert float(boxed.coefficients_S.min()) >= 0
    assert float(free.coefficients_S[1]) < -0.5


def test_useless_vector_keeps_coefficient_zero():
    target = _target([0.0, 0.0], [1e-2, 1e-2])

    start, uniform, after = _run(target)

    assert uniform is start
    assert not after.coefficients_S.any()


def test_model_that_breaks_down_is_never_kept():
    class Broken(FormulaTarget):
        def kl(self, point: torch.Tensor) -> float:
            return float("nan") if float(point.max()) > 0.3 else 1e-3

    target = Broken(
        torch.ones(2, dtype=torch.float64), 1e-3 * torch.eye(2, dtype=torch.float64)
    )

    _, uniform, after = _run(target)

    assert float(uniform.coefficients_S.max()) <= 0.3
    assert float(after.coefficients_S.max()) <= 0.3


def test_kept_coefficients_are_rounded_as_they_are_written():
    target = _target([1.23456789, 0.3456789], [1e-3, 1e-3])

    _, _, after = _run(target)

    for value in after.coefficients_S.tolist():
        assert value == round(value, 4)
