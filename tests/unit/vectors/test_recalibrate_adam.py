"""Adam: on targets that are formulas, and end to end on the tiny model."""

import math
from dataclasses import dataclass

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
)

from safegene.artifact.calibration import Calibration
from safegene.errors import UsageError
from safegene.vectors.recalibrate import (
    AdamSettings,
    Effort,
    Measured,
    recalibrate_coefficients,
)
from safegene.vectors.recalibrate.adam import SampledSlope, descend
from safegene.vectors.recalibrate.search import Point
from safegene.vectors.recalibrate.solver import Box

DATA = calibration_data()


@dataclass
class NoisyFormula(Formula):
    """Slopes of the formula with noise on them; the model may break down far out."""

    noise: float = 0.1
    breaks_above: float = math.inf

    def kl(self, point: torch.Tensor) -> float:
        if float(point.max()) > self.breaks_above:
            return math.nan
        return super().kl(point)

    def sampled_slope(
        self, point: torch.Tensor, *, size: int, generator: torch.Generator
    ) -> SampledSlope:
        shake = 1 + self.noise * torch.randn(len(point), generator=generator)
        gradient = 2 * (point - self.ideal) / len(point) * shake
        return SampledSlope(gradient, self.kl(point), 2 * self.costs * point)


def _run(target: NoisyFormula, *, low: float = 0.0, **options) -> tuple[Point, Point]:
    zero = torch.zeros(len(target.ideal), dtype=torch.float64)
    start = Point(zero, 0.0, target.score(zero), 0.0)
    found = descend(
        target,
        start,
        budget=BUDGET,
        box=Box(torch.full_like(zero, low), torch.full_like(zero, HIGHEST)),
        settings=AdamSettings(**options),
        seed=0,
        report=quiet,
    )
    return start, found


def _target(ideal: list[float], costs: list[float], **options) -> NoisyFormula:
    return NoisyFormula(numbers(ideal), numbers(costs), **options)


def test_adam_finds_an_ideal_that_the_budget_allows():
    _, found = _run(_target([1.2, 0.0, 0.6], [1e-4] * 3))

    assert found.coefficients_S.tolist() == pytest.approx([1.2, 0.0, 0.6], abs=0.05)


def test_adam_gives_up_first_what_costs_most():
    _, found = _run(_target([1.0, 1.0], [0.05, 0.002]))

    dear, cheap = found.coefficients_S.tolist()
    assert found.kl <= BUDGET
    assert cheap > 0.8
    assert dear < 0.7


@settings(max_examples=40, deadline=None)
@given(
    ideal=st.lists(st.floats(-1, 2), min_size=1, max_size=6),
    cost=st.floats(1e-4, 10),
    rate=st.floats(1e-3, 2),
)
def test_adam_never_goes_over_the_budget_and_never_ends_worse(ideal, cost, rate):
    target = _target(ideal, [cost] * len(ideal))

    start, found = _run(target, learning_rate=rate, steps=12, measure_every=5)

    assert_kept_its_promises(target, start, found)
    for value in found.coefficients_S.tolist():
        assert value == round(value, 4)


def test_adam_goes_below_zero_only_where_the_box_does():
    target = _target([0.5, -0.5], [1e-3, 1e-3])

    _, boxed = _run(target)
    _, free = _run(target, low=-1.0)

    assert float(boxed.coefficients_S[1]) == 0
    assert float(free.coefficients_S[1]) < -0.4


def test_adam_comes_back_from_where_the_model_breaks_down():
    target = _target([1.0, 1.0], [1e-3, 1e-3], breaks_above=0.5)

    start, found = _run(target, measure_every=2)

    assert found.score.total < start.score.total
    assert float(found.coefficients_S.max()) <= 0.5


def test_useless_vector_keeps_the_start():
    start, found = _run(_target([0.0, 0.0], [1e-3, 1e-3]))

    assert found is start


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"steps": 0},
        {"batch_size": -1},
        {"kl_penalty": math.inf},
        {"measure_every": 0},
        {"start": -0.1},
        {"betas": (0.9, 1.0)},
    ],
)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=f"adam {next(iter(wrong))}: expected"):
        AdamSettings(**wrong)


def test_adam_helps_the_real_target_within_the_budget():
    found = recalibrate_coefficients(*known_world(), DATA, budget=0.05, solver="adam")

    assert found.coefficient(HELPING) > 0.2
    assert found.coefficient(HURTING) < 0.1
    assert float(found.realised_kl) <= 0.05
    assert float(found.objective_after) < float(found.objective_before) - 0.02
    assert found.solver == "adam-1"
    assert found.objective_uniform is found.predicted_kl is None
    assert Calibration.from_bytes(found.to_bytes()) == found


def test_same_seed_gives_the_same_way():
    world = known_world()
    adam = AdamSettings(steps=6, measure_every=3, batch_size=4)
    seen: list[Measured] = []

    first, again, other = (
        recalibrate_coefficients(
            *world, DATA, solver="adam", adam=adam, seed=seed, watch=seen.append
        )
        for seed in (1, 1, 2)
    )

    assert first == again
    assert first != other
    assert seen[0].coefficients == (0.0, 0.0, 0.0)
    assert seen[0].kl == 0
    assert seen[-1].coefficients == tuple(other.values.values())


def test_work_is_counted_backward_twice():
    """Six steps on 4 + 4 + 4 prompts and 4 rows, two measurements, one reference."""
    adam = AdamSettings(steps=6, measure_every=3, batch_size=4, learning_rate=0.01)
    seen: list[Measured] = []

    found = recalibrate_coefficients(
        *known_world(),
        DATA,
        budget=10.0,
        solver="adam",
        adam=adam,
        effort=Effort(behavior=8, ordinary=4),
        watch=seen.append,
    )

    scored, behavior, generated = 24 + 16 + 4, 8, 4
    probe = 3  # one row forward and backward, to see whether gradients come through
    before = generated + probe + behavior + scored
    steps = 6 * 3 * (4 + 4 + 4 + 4)
    measured = 2 * (behavior + scored)
    assert seen[0].forward_equivalents == before
    assert found.forward_equivalents == before + steps + measured
    assert len(seen) == 3


def test_unknown_solver_and_granularity_are_refused_with_the_known_ones():
    world = known_world()

    with pytest.raises(UsageError, match=r"trust-region, adam.*'newton'"):
        recalibrate_coefficients(*world, DATA, solver="newton")
    with pytest.raises(UsageError, match="layer or module, got 'head'"):
        recalibrate_coefficients(*world, DATA, granularity="head")
