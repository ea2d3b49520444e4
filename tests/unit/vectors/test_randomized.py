"""The randomized decomposition on matrices whose spectrum is known exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safegene.errors import NonFiniteTensorError, RankError, UsageError
from safegene.vectors.randomized import (
    EXACT_LIMIT,
    OVERSAMPLING,
    Size,
    truncated_svd,
)

SIDES = (400, 520)
"""Above the limit, so that the randomized way is taken at ranks up to 150."""
EXCESS = 1.01
"""The promise: within a percent of the least error possible at the rank."""
ESTIMATE = 1e-3
"""Relative, of the error that is told against the one computed in float64."""
PLACES = torch.arange(1, min(SIDES) + 1).double()

SPECTRA = {
    "flat": torch.ones_like(PLACES),
    "linear": 1 - PLACES / 500,
    "power-quarter": PLACES**-0.25,
    "power-half": PLACES**-0.5,
    "power-one": PLACES**-1,
    "power-two": PLACES**-2,
    "exponential": torch.exp(-PLACES / 20),
    "step-within": torch.where(PLACES <= 8, 1.0, 0.5),
    "step-beyond": torch.where(PLACES <= 60, 1.0, 0.01),
}


def matrix_with(values, *, sides=SIDES, seed=0):
    """A float32 matrix of random directions with these singular values."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(
            torch.randn(side, len(values), generator=generator, dtype=torch.float64)
        )[0]
        for side in sides
    )
    return ((left * values) @ right.T).float()


def left_over(delta, svd):
    """Norm of what is lost, in float64."""
    product = (svd.u_OR.double() * svd.s_R.double()) @ svd.v_RI.double()
    return float((delta.double() - product).norm())


@pytest.mark.parametrize("rank", [1, 8, 32])
@pytest.mark.parametrize("name", SPECTRA)
def test_error_is_within_a_percent_of_the_least_and_is_told_rightly(name, rank):
    values = SPECTRA[name]
    delta = matrix_with(values)

    svd = truncated_svd(delta, Size(rank), seed=3)

    least = float(values[rank:].square().sum().sqrt())
    assert left_over(delta, svd) <= EXCESS * least
    assert svd.lost**0.5 == pytest.approx(left_over(delta, svd), rel=ESTIMATE)
    assert svd.total == pytest.approx(float(values.square().sum()), rel=1e-5)


@settings(max_examples=10, deadline=None)
@given(
    power=st.floats(0.2, 2),
    rank=st.integers(1, 40),
    seed=st.integers(0, 99),
    tall=st.booleans(),
)
def test_error_is_near_the_least_for_any_decay(power, rank, seed, tall):
    values = PLACES**-power
    delta = matrix_with(values, sides=SIDES[::-1] if tall else SIDES, seed=seed)

    svd = truncated_svd(delta, Size(rank), seed=seed)

    least = float(values[rank:].square().sum().sqrt())
    assert left_over(delta, svd) <= EXCESS * least
    assert svd.lost**0.5 == pytest.approx(left_over(delta, svd), rel=ESTIMATE)


def test_directions_are_orthonormal_and_their_values_the_leading_ones():
    values = PLACES**-1
    svd = truncated_svd(matrix_with(values), Size(8))

    unit = torch.eye(8)
    assert torch.allclose(svd.u_OR.T @ svd.u_OR, unit, atol=1e-5)
    assert torch.allclose(svd.v_RI @ svd.v_RI.T, unit, atol=1e-5)
    assert torch.allclose(svd.s_R.double(), values[:8], rtol=1e-2)


def test_error_of_a_matrix_of_the_rank_is_rounding_not_a_cancelled_difference():
    svd = truncated_svd(matrix_with(PLACES[:6]), Size(8))

    assert svd.relative_error < 1e-5
    assert torch.count_nonzero(svd.s_R) == 6


@pytest.mark.parametrize("energy", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("name", ["power-half", "power-one", "exponential", "linear"])
def test_energy_keeps_as_few_directions_as_reach_it(name, energy):
    values = SPECTRA[name]
    delta = matrix_with(values)
    captured = values.square().cumsum(0) / values.square().sum()
    least = int((captured < energy).sum()) + 1

    svd = truncated_svd(delta, Size(150, energy=energy))

    kept = len(svd.s_R)
    # The subspace misses up to a percent of the error, so a border may move by one
    # in thirty directions.
    assert least <= kept <= least + 1 + least // 30
    assert 1 - svd.lost / svd.total >= energy * (1 - 1e-5)


def test_energy_out_of_reach_keeps_the_rank():
    svd = truncated_svd(matrix_with(SPECTRA["flat"]), Size(40, energy=0.9))

    assert len(svd.s_R) == 40
    assert svd.relative_error == pytest.approx((1 - 40 / 400) ** 0.5, rel=1e-3)


def test_energy_of_a_small_matrix_is_exact():
    values = torch.tensor([2.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    delta = matrix_with(values, sides=(9, 7))

    ranks = {
        e: len(truncated_svd(delta, Size(4, energy=e)).s_R) for e in (0.6, 0.7, 1.0)
    }

    assert ranks == {0.6: 1, 0.7: 2, 1.0: 3}


def test_subspace_that_does_not_settle_is_widened_to_the_end():
    """Random matrices near square have no gap at all, and many passes to go."""
    generator = torch.Generator().manual_seed(2)
    delta = torch.randn(EXACT_LIMIT + 10, EXACT_LIMIT + 20, generator=generator)
    values = torch.linalg.svdvals(delta.double())
    rank = 150
    assert 2 * (rank + OVERSAMPLING) < EXACT_LIMIT

    svd = truncated_svd(delta, Size(rank))

    assert left_over(delta, svd) <= EXCESS * float(values[rank:].square().sum().sqrt())


def test_zero_matrix_has_no_error():
    svd = truncated_svd(torch.zeros(400, 500), Size(4))

    assert (svd.total, svd.lost, svd.relative_error) == (0.0, 0.0, 0.0)
    assert torch.count_nonzero(svd.s_R) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_matrix_that_is_not_finite_is_refused(value):
    delta = torch.zeros(400, 500)
    delta[399, 499] = value

    with pytest.raises(
        NonFiniteTensorError, match="up_proj: the weight change holds NaN"
    ):
        truncated_svd(delta, Size(4), module="up_proj")


@pytest.mark.parametrize("energy", [0.0, -0.5, 1.1, float("nan")])
def test_senseless_energy_is_refused(energy):
    with pytest.raises(UsageError, match=f"at most 1, got {energy}"):
        Size(4, energy=energy)


def test_rank_below_one_is_refused():
    with pytest.raises(RankError, match="at least 1, got 0"):
        Size(0)
