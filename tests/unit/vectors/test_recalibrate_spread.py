"""Intervals of coefficients, on samples whose spread is known."""

import pytest
import torch
from support.recalibration import (
    calibration_data,
    known_vector,
    tiny_target,
    tiny_tokenizer,
)

from safegene.vectors.recalibrate import recalibrate_coefficients
from safegene.vectors.recalibrate.gradients import Pulls
from safegene.vectors.recalibrate.solver import Box
from safegene.vectors.recalibrate.spread import LocalSample, newton_intervals

BOX = Box(torch.zeros(2, dtype=torch.float64), torch.full((2,), 2.0).double())
POINT = torch.tensor([1.0, 1.0], dtype=torch.float64)


def sample(pulls, *, curvature=1.0, kl_gradient=(0.0, 0.0)):
    return LocalSample(
        Pulls(
            {},
            [torch.as_tensor(pull, dtype=torch.float64) for pull in pulls],
            curvature * torch.eye(2, dtype=torch.float64),
        ),
        kl_gradient_S=torch.tensor(kl_gradient, dtype=torch.float64),
        metric_SS=1e-6 * torch.eye(2, dtype=torch.float64),
    )


def noise(count, scale, seed=0):
    """Pulls on the first of two coefficients, of mean 0."""
    drawn = torch.randn(count, generator=torch.Generator().manual_seed(seed)).double()
    drawn = scale * (drawn - drawn.mean()) / drawn.std(unbiased=False)
    return torch.stack([drawn, torch.zeros_like(drawn)])


def test_the_interval_is_that_of_a_mean_divided_by_the_curvature():
    count, scale = 400, 2.0
    # Damping adds a tenth to the curvature.
    expected = 1.96 * scale / count**0.5 / (4.0 * 1.1)

    low, high = newton_intervals(
        sample([noise(count, scale)], curvature=4.0),
        POINT,
        BOX,
        seed=0,
        resamples=2000,
    )

    assert float(high[0] - POINT[0]) == pytest.approx(expected, rel=0.1)
    assert float(POINT[0] - low[0]) == pytest.approx(expected, rel=0.1)
    assert float(high[1]) == pytest.approx(1.0, abs=1e-6)


def test_kinds_of_prompts_add_up_and_more_of_them_narrow_the_interval():
    def width(pulls):
        low, high = newton_intervals(sample(pulls), POINT, BOX, seed=0, resamples=1000)
        return float((high - low)[0])

    one = width([noise(100, 1.0)])

    assert width([noise(100, 1.0), noise(100, 1.0, 1)]) == pytest.approx(
        2**0.5 * one, rel=0.15
    )
    assert width([noise(400, 1.0)]) == pytest.approx(one / 2, rel=0.15)


def test_no_interval_leaves_the_box_and_a_bound_that_holds_keeps_holding():
    held = noise(100, 1.0) + torch.tensor([[5.0], [0.0]])
    edge = torch.tensor([0.0, 1.0], dtype=torch.float64)

    low, high = newton_intervals(sample([held]), edge, BOX, seed=0)
    loose = newton_intervals(sample([noise(100, 9.0)]), edge, BOX, seed=0)

    assert float(low[0]) == float(high[0]) == 0.0
    assert float(loose[0][0]) == 0.0
    assert 0.5 < float(loose[1][0]) <= 2.0


def test_a_dear_kl_holds_coefficients_in_place():
    def width(gradient):
        pull = noise(100, 1.0) + torch.tensor([[-3.0], [0.0]])
        found = LocalSample(
            Pulls({}, [pull], torch.eye(2, dtype=torch.float64)),
            torch.tensor([gradient, 0.0], dtype=torch.float64),
            torch.eye(2, dtype=torch.float64),
        )
        low, high = newton_intervals(found, POINT, BOX, seed=0)
        return float((high - low)[0])

    assert width(0.1) < width(0.0) / 5


def test_recalibration_tells_intervals_and_finds_the_same_with_and_without():
    tokenizer = tiny_tokenizer()
    model = tiny_target(tokenizer)
    world = (model, tokenizer, known_vector(model, tokenizer))
    data = calibration_data()
    told = []

    plain = recalibrate_coefficients(*world, data, budget=0.05)
    found = recalibrate_coefficients(*world, data, budget=0.05, spread=told.append)

    assert found == plain
    (intervals,) = told
    assert list(intervals) == list(world[2].layers)
    for layer, (low, high) in intervals.items():
        assert 0 <= low <= found.coefficient(layer) <= high <= 2
    assert any(high > low for low, high in intervals.values())


def test_solvers_without_a_fisher_matrix_tell_no_intervals():
    tokenizer = tiny_tokenizer()
    model = tiny_target(tokenizer)
    told = []

    recalibrate_coefficients(
        *(model, tokenizer, known_vector(model, tokenizer), calibration_data()),
        solver="gradient-free",
        spread=told.append,
    )

    assert told == []
