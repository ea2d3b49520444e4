"""The search: the best uniform coefficient first, then trust-region steps from there.

Knows the target only through `Problem`, so it is tested on problems with known answers.
What holds by construction, whatever the model does:

* every point that is kept was measured: its real KL is at most the budget;
* the steps start from the best uniform coefficient and keep a point only if its
  objective is lower, so the end is never worse than the best uniform coefficient.

Shapes: S coefficients.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from safegene.vectors.recalibrate.objective import Group
from safegene.vectors.recalibrate.solver import Box, Model, best_point, half_form

DECIMALS = 4
"""Coefficients are rounded before they are measured, so what is measured is exactly
what the calibration file says."""


@dataclass(frozen=True)
class Score:
    """The objective at some coefficients."""

    total: float
    """Over all scored prompts."""
    check: float
    """Over the prompts that gradients never see."""
    margins: Mapping[Group, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """Coefficients with what was measured there."""

    coefficients_S: Tensor
    kl: float
    score: Score
    predicted_kl: float | None
    """By the Fisher matrix; None where there is none."""


@dataclass(frozen=True)
class Slope:
    """Derivatives by the coefficients."""

    gradient_S: Tensor
    """Of the objective, over the prompts for fitting."""
    curvature_SS: Tensor
    """Of the objective, Gauss-Newton: positive semidefinite."""
    kl_gradient_S: Tensor
    """Of the real KL; 0 at coefficients 0, where the KL is lowest."""


class Problem(Protocol):
    """What the search asks of a target."""

    fisher: Tensor
    """F at coefficients 0, [S, S], positive definite."""

    def kl(self, point_S: Tensor, /) -> float:
        """The real KL."""

    def score(self, point_S: Tensor, /, *, ahead: bool = False) -> Score:
        """The real objective; `ahead` where `slope` will likely be asked for next."""

    def slope(self, point_S: Tensor, /) -> Slope:
        """Derivatives of objective and KL."""


@dataclass(frozen=True)
class SearchSettings:
    """How hard to look."""

    kl_trials: int = 6
    """Most KL measurements to find the largest uniform coefficient in the budget."""
    kl_fill: float = 0.85
    """Share of the budget from which the largest uniform coefficient is good enough."""
    fractions: tuple[float, ...] = (2 / 3, 1 / 3)
    """Of the largest uniform coefficient, tried for the best one where the objective
    does not fall on at the largest."""
    trials: int = 4
    """Most trial points after the uniform coefficient."""
    slopes: int = 2
    """Most gradient passes."""
    radius: float = 0.25
    """How far a first step may move any coefficient. Few small steps from the uniform
    coefficient carry over to prompts of other wording; many large ones fit the prompts
    at hand (docs/method.md has the figures)."""
    least_radius: float = 0.03
    damping: float = 0.1
    """Levenberg-Marquardt damping at the start, in units of the curvature's mean."""
    budget_aim: float = 0.97
    """Share of the budget a step aims at; the rest absorbs the model's error."""
    kl_price: float = 0.03
    """Share of the objective that spending the whole budget has to win; steps leave KL
    unspent that would buy less."""
    least_decrease: float = 1e-4
    """A predicted fall of the objective that is not worth another measurement."""


@dataclass(frozen=True)
class Uniform:
    """The best coefficient found that is the same in every layer."""

    point: Point
    slope: Slope | None = None
    """There, if it was looked at."""


Report = Callable[[int, int], None]
"""Called with trials done and the most there can be."""


def best_uniform(
    problem: Problem,
    start: Point,
    *,
    budget: float,
    highest: float,
    settings: SearchSettings,
    report: Report,
    by_slope: bool = True,
) -> Uniform:
    """Find the best coefficient that is the same in every layer, within the budget.

    First the largest one that the budget allows, on the real KL. Where the objective
    falls on there, lesser ones would be worse. Else it is measured at fractions, at 1
    (a vector's default) and at the bottom of the parabola through the best of them and
    its neighbors.

    Args:
        problem: the target.
        start: coefficients 0, measured.
        budget: the most KL.
        highest: the most a coefficient may be.
        settings: how hard to look.
        report: progress.
        by_slope: look where the objective falls; without gradients all are measured.

    Returns:
        The best measured point, `start` itself if no coefficient helps.
    """
    ones_S = torch.ones(len(start.coefficients_S), dtype=torch.float64)
    unit_kl = half_form(problem.fisher, ones_S)
    most = len(settings.fractions) + 3
    top, kls = _largest_uniform(problem, unit_kl, budget, highest, settings)
    points = {0.0: start}

    def measure(value: float, *, ahead: bool = False) -> None:
        value = round(value, DECIMALS)
        if value in points or value <= 0:
            return
        point_S = value * ones_S
        kl = kls[value] if value in kls else problem.kl(point_S)
        if kl <= budget:
            predicted = unit_kl * value**2
            score = problem.score(point_S, ahead=ahead)
            points[value] = Point(point_S, kl, score, predicted)
        report(min(len(points), most), most)

    def best() -> Point:
        return min(points.values(), key=lambda point: point.score.total)

    measure(top, ahead=by_slope)
    largest, slope = best(), None
    if by_slope and largest is not start:
        slope = problem.slope(largest.coefficients_S)
    if slope is None or float(slope.gradient_S.sum()) > 0:
        for fraction in settings.fractions:
            measure(top * fraction)
        if top > 1:
            measure(1.0)
        measure(_parabola_bottom({v: point.score.total for v, point in points.items()}))
    report(most, most)
    return Uniform(best(), slope if best() is largest else None)


def _largest_uniform(
    problem: Problem,
    unit_kl: float,
    budget: float,
    highest: float,
    settings: SearchSettings,
) -> tuple[float, dict[float, float]]:
    """The largest coefficient found within the budget, and every KL measured."""
    ones_S = torch.ones(len(problem.fisher), dtype=torch.float64)
    guess = highest
    if unit_kl > 0:
        guess = min(highest, (settings.budget_aim * budget / unit_kl) ** 0.5)
    below, above = 0.0, float("inf")
    kls: dict[float, float] = {}
    for _ in range(settings.kl_trials):
        value = round(guess, DECIMALS)
        if value <= 0 or value in kls:
            break
        kl = kls[value] = problem.kl(value * ones_S)
        if kl <= budget:
            below = value
            if value >= highest or kl >= settings.kl_fill * budget:
                break
        else:
            above = value
        # KL grows about as the square; kept inside what is known.
        ratio = settings.budget_aim * budget / kl if 0 < kl < float("inf") else 0.25
        guess = min(highest, value * ratio**0.5)
        if not below < guess < above:
            guess = (below + above) / 2 if above < float("inf") else highest
    return below, kls


def _parabola_bottom(values: Mapping[float, float]) -> float:
    """Where the parabola through the lowest value and its neighbors is lowest, or 0."""
    places = sorted(values)
    best = min(places, key=values.__getitem__)
    at = places.index(best)
    if not 0 < at < len(places) - 1:
        return 0.0
    left, right = places[at - 1], places[at + 1]
    fall_left = (best - left) ** 2 * (values[best] - values[right])
    fall_right = (best - right) ** 2 * (values[best] - values[left])
    across = (best - left) * (values[best] - values[right]) - (best - right) * (
        values[best] - values[left]
    )
    if across == 0:
        return 0.0
    return best - (fall_left - fall_right) / (2 * across)


def improve(
    problem: Problem,
    start: Uniform,
    *,
    budget: float,
    box: Box,
    settings: SearchSettings,
    report: Report,
) -> Point:
    """Walk from `start` by damped natural-gradient steps inside a trust region.

    A trial point is kept only if its real KL is within the budget, its real objective
    is lower, and the objective on prompts the gradients never saw is not higher. A
    trial that costs too much KL teaches the model of the KL its error and is planned
    again; one that disappoints shrinks the region and raises the damping.

    Args:
        problem: the target.
        start: a measured point within the budget, and the slope there if known.
        budget: the most KL.
        box: where coefficients may be.
        settings: how hard to look.
        report: progress.

    Returns:
        The best measured point.
    """
    point = start.point
    slope = start.slope or problem.slope(point.coefficients_S)
    radius, damping, slopes = settings.radius, settings.damping, 1
    scale = _first_scale(problem, point)
    for trial in range(settings.trials):
        report(trial, settings.trials)
        model = _model(problem, point, slope, scale, damping)
        aim_S = best_point(
            model,
            box.around(point.coefficients_S, radius),
            kl_limit=settings.budget_aim * budget,
            kl_price=settings.kl_price * point.score.total / budget,
        )
        next_S = box.clip(torch.round(aim_S, decimals=DECIMALS))
        expected = model.decrease(next_S)
        if expected < settings.least_decrease * max(1e-3, point.score.total):
            break
        kl = problem.kl(next_S)
        if not kl <= budget:
            scale, radius = _dearer_scale(model, next_S, kl, scale), radius * 0.7
            continue
        score = problem.score(next_S, ahead=slopes < settings.slopes)
        gained = point.score.total - score.total
        if gained > 0 and score.check <= point.score.check:
            point = Point(next_S, kl, score, model.kl(next_S))
            if slopes == settings.slopes:
                break
            slope, slopes = problem.slope(next_S), slopes + 1
            scale = _first_scale(problem, point)
            radius *= 1.5 if gained > expected / 2 else 0.7
            damping *= 0.3 if gained > expected / 2 else 1.0
        else:
            radius, damping = radius * 0.4, damping * 4
            if radius < settings.least_radius:
                break
    report(settings.trials, settings.trials)
    return point


def _first_scale(problem: Problem, point: Point) -> float:
    """What F is multiplied by: measured KL over the one F gives, as far as known."""
    expected = half_form(problem.fisher, point.coefficients_S)
    return max(0.5, point.kl / expected) if expected > 0 else 1.0


def _dearer_scale(model: Model, point_S: Tensor, kl: float, scale: float) -> float:
    """A scale of F with which the model gives the KL that was measured at a point."""
    if not kl < float("inf"):
        return 10 * scale
    move_S = point_S - model.center_S
    curved = half_form(model.metric_SS, move_S)
    missing = kl - model.center_kl - float(model.kl_gradient_S @ move_S)
    return scale * max(1.1, min(10.0, missing / curved) if curved > 0 else 1.1)


def _model(
    problem: Problem, point: Point, slope: Slope, scale: float, damping: float
) -> Model:
    """The local model: damped in the metric of F, so that damping is natural, too."""
    metric_SS = scale * problem.fisher
    mean_curvature = float(slope.curvature_SS.diagonal().mean())
    mean_metric = float(metric_SS.diagonal().mean())
    ratio = mean_curvature / mean_metric if mean_metric > 0 else 0.0
    return Model(
        center_S=point.coefficients_S,
        gradient_S=slope.gradient_S,
        curvature_SS=slope.curvature_SS + damping * ratio * metric_SS,
        center_kl=point.kl,
        kl_gradient_S=slope.kl_gradient_S,
        metric_SS=metric_SS,
    )
