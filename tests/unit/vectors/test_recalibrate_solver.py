"""The optimization inside a step, against brute force."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safegene.vectors.recalibrate.solver import (
    Box,
    Model,
    best_point,
    half_form,
    minimize_in_box,
    ridged,
)

KKT_TOLERANCE = 1e-6
"""Of gradients of order one, solved in float64."""
GRID_TOLERANCE = 2e-3
"""A grid of 61 points a side misses the minimum by up to half a step squared."""


def _positive_definite(size: int, seed: int, floor: float = 1e-2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn((size, size), generator=generator, dtype=torch.float64)
    return root @ root.T / size + floor * torch.eye(size, dtype=torch.float64)


def _vector(size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator, dtype=torch.float64)


def _box(size: int, low: float = 0.0, high: float = 2.0) -> Box:
    whole = torch.ones(size, dtype=torch.float64)
    return Box(low * whole, high * whole)


@given(size=st.integers(1, 40), seed=st.integers(0, 10_000), log_floor=st.floats(-6, 0))
def test_box_minimum_meets_the_optimality_conditions(size, seed, log_floor):
    hessian = _positive_definite(size, seed, 10**log_floor)
    linear = _vector(size, seed + 1)
    box = _box(size)

    found = minimize_in_box(hessian, linear, box, _vector(size, seed + 2))

    gradient = hessian @ found + linear
    assert bool(((found >= box.low_S) & (found <= box.high_S)).all())
    inside = (found > box.low_S) & (found < box.high_S)
    assert float(gradient[inside].abs().sum()) < KKT_TOLERANCE
    assert bool((gradient[found == box.low_S] > -KKT_TOLERANCE).all())
    assert bool((gradient[found == box.high_S] < KKT_TOLERANCE).all())


@pytest.mark.parametrize("seed", range(5))
def test_box_minimum_equals_the_best_of_a_grid(seed):
    hessian, linear, box = _positive_definite(2, seed), _vector(2, seed + 50), _box(2)
    axis = torch.linspace(0, 2, 61, dtype=torch.float64).tolist()

    found = minimize_in_box(hessian, linear, box, torch.zeros(2, dtype=torch.float64))

    def value(point: torch.Tensor) -> float:
        return float(point @ hessian @ point / 2 + linear @ point)

    best = min(
        value(torch.tensor(pair, dtype=torch.float64))
        for pair in itertools.product(axis, axis)
    )
    assert value(found) <= best + 1e-12
    assert best - value(found) < GRID_TOLERANCE


def _model(size: int, seed: int) -> Model:
    metric = _positive_definite(size, seed + 2)
    center = torch.full((size,), 0.5, dtype=torch.float64)
    return Model(
        center_S=center,
        gradient_S=3 * _vector(size, seed),
        # Of rank one only, as few prompts would give.
        curvature_SS=torch.outer(_vector(size, seed + 1), _vector(size, seed + 1)),
        center_kl=half_form(metric, center),
        kl_gradient_S=metric @ center + 0.05 * _vector(size, seed + 3),
        metric_SS=metric,
    )


@pytest.mark.parametrize("seed", range(6))
def test_budgeted_point_equals_the_best_of_a_grid(seed):
    model, box = _model(2, seed), _box(2)
    limit = 1.5 * model.center_kl
    axis = torch.linspace(0, 2, 201, dtype=torch.float64).tolist()

    found = best_point(model, box, kl_limit=limit)

    grid = (
        torch.tensor(pair, dtype=torch.float64)
        for pair in itertools.product(axis, axis)
    )
    best = max(model.decrease(point) for point in grid if model.kl(point) <= limit)
    assert model.kl(found) <= limit * (1 + 1e-9)
    assert model.decrease(found) >= best - 1e-6
    # The grid cannot follow the curved edge of the budget to the last step.
    assert model.decrease(found) - best < 0.1


@given(size=st.integers(1, 30), seed=st.integers(0, 10_000), share=st.floats(0.1, 10))
def test_budgeted_point_stays_in_box_and_budget_and_never_loses(size, seed, share):
    model, box = _model(size, seed), _box(size)
    limit = share * model.center_kl

    found = best_point(model, box.around(model.center_S, 0.4), kl_limit=limit)

    allowed = max(limit, model.center_kl)
    assert model.kl(found) <= allowed * (1 + 1e-6)
    assert bool(((found >= 0.1 - 1e-12) & (found <= 0.9 + 1e-12)).all())
    assert model.decrease(found) >= -1e-7


def test_price_keeps_kl_unspent_that_buys_little():
    model = replace(
        _model(2, 0),
        gradient_S=torch.tensor([-1.0, -1e-3], dtype=torch.float64),
        curvature_SS=torch.eye(2, dtype=torch.float64),
        metric_SS=torch.eye(2, dtype=torch.float64),
        kl_gradient_S=torch.tensor([0.1, 0.1], dtype=torch.float64),
    )

    free = best_point(model, _box(2), kl_limit=1e9)
    priced = best_point(model, _box(2), kl_limit=1e9, kl_price=0.05)

    assert float(free[0]) > 1.4
    assert float(free[1]) > 0.5
    assert float(priced[0]) > 1.4
    assert float(priced[1]) < 0.5


def test_unbudgeted_point_is_the_plain_box_minimum():
    model, box = _model(5, 3), _box(5)
    model = replace(model, curvature_SS=_positive_definite(5, 9))

    found = best_point(model, box, kl_limit=1e9)

    linear = model.gradient_S - model.curvature_SS @ model.center_S
    plain = minimize_in_box(model.curvature_SS, linear, box, model.center_S)
    assert torch.allclose(found, plain, atol=1e-6)


def test_ridge_makes_a_singular_fisher_matrix_positive_definite():
    direction = torch.tensor([1.0, -2.0, 0.5])

    ridge = ridged(torch.outer(direction, direction))

    assert float(torch.linalg.eigvalsh(ridge).min()) > 0
    assert half_form(ridge, torch.zeros(3, dtype=torch.float64)) == 0
    assert float(torch.linalg.eigvalsh(ridged(torch.zeros(3, 3))).min()) > 0
