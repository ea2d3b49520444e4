"""The solver that needs no gradients, and the targets that need it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.formulas import (
    BUDGET,
    HIGHEST,
    Formula,
    assert_kept_its_promises,
    numbers,
    quiet,
)
from support.recalibration import (
    HELPING,
    HURTING,
    calibration_data,
    known_world,
    quantised,
)
from torch import nn

from safegene.errors import UsageError
from safegene.vectors.recalibrate import (
    GradientFreeSettings,
    Solver,
    recalibrate_coefficients,
)
from safegene.vectors.recalibrate.evolution import evolve
from safegene.vectors.recalibrate.search import Point
from safegene.vectors.recalibrate.solver import Box

DATA = calibration_data()


def _target(ideal: list[float], costs: list[float], **options) -> Formula:
    return Formula(numbers(ideal), numbers(costs), **options)


def _run(target: Formula, *, uniform: float = 0.0, low: float = 0.0, **options):
    first = torch.full_like(target.ideal, uniform)
    start = Point(first, target.kl(first), target.score(first), None)
    found = evolve(
        target,
        start,
        budget=BUDGET,
        box=Box(torch.full_like(first, low), torch.full_like(first, HIGHEST)),
        settings=GradientFreeSettings(**options),
        seed=0,
        report=quiet,
    )
    return start, found


def test_trying_finds_an_ideal_that_the_budget_allows():
    target = _target([1.2, 0.0, 0.6], [1e-4] * 3)

    _, found = _run(target, uniform=0.6, evaluations=150)

    assert found.coefficients_S.tolist() == pytest.approx([1.2, 0.0, 0.6], abs=0.15)


def test_neighbors_share_a_number_where_there_are_many():
    target = _target([1.5] * 10 + [0.0] * 10, [1e-4] * 20)

    _, found = _run(target, uniform=0.7, numbers=2, evaluations=80)

    first, second = found.coefficients_S[:10].unique(), found.coefficients_S[10:]
    assert len(first) == len(second.unique()) == 1
    assert float(first) > 1.2
    assert float(second[0]) < 0.3


@settings(max_examples=25, deadline=None)
@given(
    ideal=st.lists(st.floats(-1, 2), min_size=1, max_size=6),
    cost=st.floats(1e-4, 10),
)
def test_trying_never_goes_over_the_budget_and_never_ends_worse(ideal, cost):
    target = _target(ideal, [cost] * len(ideal))
    uniform = min(2.0, (BUDGET / cost / len(ideal)) ** 0.5 * 0.99)

    start, found = _run(target, uniform=uniform, evaluations=12)

    assert_kept_its_promises(target, start, found)


def test_points_that_only_fit_the_seen_prompts_are_refused():
    start, found = _run(_target([1.5, 0.0], [1e-3] * 2, check_follows=False))

    assert found is start


def test_one_number_is_the_uniform_coefficient_already():
    start, found = _run(_target([1.5], [1e-3]), uniform=0.5)

    assert found is start


def test_the_process_keeps_its_random_state_and_the_seed_decides():
    np.random.seed(3)  # noqa: NPY002 - the state that must not move
    before = np.random.get_state()[1].copy()  # noqa: NPY002

    first, again = (
        _run(_target([1.2, 0.3], [1e-3] * 2), uniform=0.5)[1].coefficients_S
        for _ in range(2)
    )

    assert torch.equal(first, again)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("name", ["evaluations", "numbers", "spread"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_senseless_settings_are_refused(name, value):
    with pytest.raises(UsageError, match=f"gradient-free {name}: expected"):
        GradientFreeSettings(**{name: value})


@pytest.mark.parametrize("solver", [Solver.TRUST_REGION, Solver.ADAM])
@pytest.mark.parametrize("how", ["all", "one"])
def test_target_without_gradients_is_told_which_solver_needs_none(solver, how):
    """One such module in the middle would give a wrong gradient without a word."""
    model, tokenizer, vector = known_world()
    model = quantised(model, layers=range(4) if how == "all" else [HURTING])
    modules = [module for module in model.modules() if isinstance(module, nn.Module)]

    with pytest.raises(UsageError, match=r"no gradients .*--solver gradient-free"):
        recalibrate_coefficients(model, tokenizer, vector, DATA, solver=solver)

    assert not any(module._forward_hooks for module in modules)


def test_quantised_target_is_recalibrated_without_gradients():
    model, tokenizer, vector = known_world()
    model = quantised(model, layers=range(4))
    seen = []

    found = recalibrate_coefficients(
        model,
        tokenizer,
        vector,
        DATA,
        budget=0.05,
        solver="gradient-free",
        watch=seen.append,
    )

    assert float(found.realised_kl) <= 0.05
    assert float(found.objective_after) < float(found.objective_uniform)
    assert found.coefficient(HELPING) > found.coefficient(HURTING)
    assert found.solver == "gradient-free-1"
    assert found.predicted_kl is None
    assert all(point.kl <= 0.05 for point in seen)
