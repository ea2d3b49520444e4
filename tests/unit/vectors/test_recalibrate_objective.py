"""The objective: what it rewards, its derivatives, the gain's interval."""

import math

import pytest
import torch

from safegene.errors import UsageError
from safegene.vectors.recalibrate.objective import Group, Objective, bootstrap_gain

FOCI = [0.0, 0.5, 1.0]


def _margins(harmful: float, lookalike: float, count: int = 20):
    return {
        Group.HARMFUL: torch.full((count,), harmful),
        Group.LOOKALIKE: torch.full((count,), lookalike),
    }


@pytest.mark.parametrize("focus", FOCI)
def test_derivatives_equal_finite_differences(focus):
    objective = Objective(threshold=0.3, sharpness=1.7, focus=focus)
    margin = torch.linspace(-6, 6, 25, dtype=torch.float64)
    step = 1e-4

    for group in Group:
        here = objective.losses(margin, group)
        above = objective.losses(margin + step, group)
        below = objective.losses(margin - step, group)

        slope = (above.value_N - below.value_N) / (2 * step)
        assert torch.allclose(here.slope_N, slope, atol=1e-7)
        bend = (above.slope_N - below.slope_N) / (2 * step)
        assert bool((here.curvature_N >= bend - 1e-7).all())
        assert bool((here.curvature_N >= 0).all())


def test_focus_zero_is_the_logistic_loss():
    margin = torch.linspace(-30, 30, 13, dtype=torch.float64)

    found = Objective(focus=0.0).losses(margin, Group.HARMFUL)

    assert torch.allclose(found.value_N, torch.nn.functional.softplus(-margin))
    assert torch.allclose(
        found.curvature_N, margin.sigmoid() * (-margin).sigmoid(), atol=1e-12
    )


def test_focus_one_is_one_minus_the_expected_j():
    margins = {
        Group.HARMFUL: torch.tensor([-1.0, 2.0]),
        Group.LOOKALIKE: torch.tensor([-3.0, 0.5]),
    }
    refused = {
        group: margin.double().sigmoid().mean() for group, margin in margins.items()
    }
    j = refused[Group.HARMFUL] - refused[Group.LOOKALIKE]

    assert Objective(focus=1.0).value(margins) == pytest.approx(1 - float(j))


@pytest.mark.parametrize("focus", FOCI)
def test_refusing_everything_or_nothing_is_worse_than_telling_apart(focus):
    objective = Objective(focus=focus)

    apart = objective.value(_margins(2.0, -2.0))

    assert apart < objective.value(_margins(2.0, 2.0))
    assert apart < objective.value(_margins(-2.0, -2.0))
    assert objective.value(_margins(2.0, 2.0)) == pytest.approx(
        objective.value(_margins(-2.0, -2.0))
    )


@pytest.mark.parametrize("focus", FOCI)
def test_losses_are_finite_at_extreme_margins(focus):
    margin = torch.tensor([-500.0, 500.0])

    found = Objective(focus=focus).losses(margin, Group.LOOKALIKE)

    assert bool(torch.isfinite(found.value_N).all())
    assert bool(torch.isfinite(found.slope_N).all())


def test_ordinary_prompts_weigh_less_and_empty_groups_nothing():
    objective = Objective(ordinary_weight=0.25)
    refusing = torch.full((4,), 1.5)

    ordinary = objective.value({Group.ORDINARY: refusing, Group.HARMFUL: refusing[:0]})

    lookalike = objective.value({Group.LOOKALIKE: refusing})
    assert ordinary == pytest.approx(0.25 * lookalike)


def test_gain_interval_is_paired_and_seeded():
    generator = torch.Generator().manual_seed(1)
    before = {
        Group.HARMFUL: torch.randn(60, generator=generator) * 4,
        Group.LOOKALIKE: torch.randn(50, generator=generator) * 4,
    }
    # The prompts differ widely, each improves a little: only pairing can see it.
    after = {
        Group.HARMFUL: before[Group.HARMFUL] + 0.3,
        Group.LOOKALIKE: before[Group.LOOKALIKE] - 0.3,
    }
    objective = Objective()

    gain = bootstrap_gain(objective, before, after, seed=3)

    assert gain.value == pytest.approx(objective.value(before) - objective.value(after))
    assert 0 < gain.low < gain.value < gain.high
    assert gain.is_certain
    assert gain.samples_factor < 1
    assert gain == bootstrap_gain(objective, before, after, seed=3)


def test_gain_without_change_is_never_certain():
    margins = _margins(1.0, -1.0)

    gain = bootstrap_gain(Objective(), margins, margins, seed=0)

    assert (gain.low, gain.value, gain.high) == (0, 0, 0)
    assert not gain.is_certain
    assert math.isinf(gain.samples_factor)


def test_samples_factor_says_how_many_prompts_make_the_gain_certain():
    generator = torch.Generator().manual_seed(5)
    count = 40
    noise = torch.randn(count, generator=generator)
    before = {Group.HARMFUL: torch.zeros(count)}
    after = {Group.HARMFUL: 0.7 + 2 * (noise - noise.mean())}
    objective = Objective()

    gain = bootstrap_gain(objective, before, after, seed=0)

    times = math.ceil(2 * gain.samples_factor)
    more_before = {Group.HARMFUL: before[Group.HARMFUL].repeat(times)}
    more_after = {Group.HARMFUL: after[Group.HARMFUL].repeat(times)}
    assert not gain.is_certain
    assert bootstrap_gain(objective, more_before, more_after, seed=0).is_certain


def test_a_heavier_look_alike_weight_prices_over_refusal():
    refuses_all = _margins(harmful=3.0, lookalike=3.0)
    helps_all = _margins(harmful=-3.0, lookalike=-3.0)

    even, strict = Objective(), Objective(lookalike_weight=2.0)

    assert even.value(refuses_all) == pytest.approx(even.value(helps_all))
    assert strict.value(refuses_all) > strict.value(helps_all)


@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_senseless_weights_are_refused(weight):
    with pytest.raises(UsageError, match="lookalike_weight"):
        Objective(lookalike_weight=weight)
