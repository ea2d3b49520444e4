"""Low-rank factors: exactness, error, canonical form."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from safegene.errors import NonFiniteTensorError, RankError, ShapeMismatchError
from safegene.vectors.factors import (
    LowRankFactors,
    refactored,
    truncated_factors,
)
from safegene.vectors.randomized import EXACT_LIMIT

EXACT = 1e-5
"""Relative: float32 carries 24 bits, a product of rank 8 loses a few."""
TAIL = 1e-4
"""Relative, against the tail of a spectrum taken in float64."""
RANDOMIZED_EXCESS = 1.01
"""The randomized error stays within a percent of the best one on a flat spectrum."""


def _matrix(rows, columns, rank=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(rows, rank or columns, generator=generator)
    if rank is None:
        return left
    return left @ torch.randn(rank, columns, generator=generator)


def _relative_error(delta, factors):
    return float((delta - factors.delta()).norm() / delta.norm())


sizes = st.integers(min_value=1, max_value=24)


@settings(max_examples=40, deadline=None)
@given(rows=sizes, columns=sizes, rank=st.integers(1, 8), seed=st.integers(0, 99))
def test_difference_of_a_rank_is_recovered_at_that_rank_and_above(
    rows, columns, rank, seed
):
    delta = _matrix(rows, columns, rank=rank, seed=seed)

    for kept in (rank, rank + 3):
        assert _relative_error(delta, truncated_factors(delta, rank=kept)) < EXACT


@settings(max_examples=40, deadline=None)
@given(rows=sizes, columns=sizes, seed=st.integers(0, 99))
def test_error_is_the_tail_of_the_spectrum_and_never_rises_with_the_rank(
    rows, columns, seed
):
    delta = _matrix(rows, columns, seed=seed)
    spectrum = torch.linalg.svdvals(delta.double())

    errors = [
        float((delta - truncated_factors(delta, rank=rank).delta()).norm())
        for rank in range(1, min(rows, columns) + 1)
    ]

    for rank, error in enumerate(errors, 1):
        tail = float(spectrum[rank:].square().sum().sqrt())
        assert error == pytest.approx(tail, abs=TAIL * float(delta.norm()))
    assert all(
        later <= earlier + TAIL * float(delta.norm())
        for earlier, later in pairwise(errors)
    )


def test_large_low_rank_matrix_is_recovered_by_the_randomized_way():
    delta = _matrix(500, 420, rank=6)
    assert min(delta.shape) > EXACT_LIMIT

    assert _relative_error(delta, truncated_factors(delta, rank=8)) < EXACT


def test_randomized_error_stays_near_the_best_on_a_flat_spectrum():
    delta = _matrix(400, 450)
    spectrum = torch.linalg.svdvals(delta)

    found = (delta - truncated_factors(delta, rank=16).delta()).norm()

    assert found <= RANDOMIZED_EXCESS * spectrum[16:].square().sum().sqrt()


def test_module_has_a_random_subspace_of_its_own():
    delta = _matrix(400, 450)

    one, other = (truncated_factors(delta, rank=4, module=name) for name in "ab")

    assert not torch.equal(one.a_RI, other.a_RI)
    # Both are near the best, though on a flat spectrum not by the same directions.
    assert float((delta - one.delta()).norm()) == pytest.approx(
        float((delta - other.delta()).norm()), rel=0.01
    )


def test_refactored_change_is_the_same_in_canonical_form():
    left, right = _matrix(40, 3, seed=1), _matrix(5, 60, seed=2)
    mixed = LowRankFactors(right, left @ _matrix(3, 5, seed=3))
    delta = mixed.delta()

    found = refactored(mixed)

    assert found.rank == 5
    assert found.a_RI.dtype == found.b_OR.dtype == torch.float32
    assert _relative_error(delta, found) < EXACT
    assert (
        torch.count_nonzero(found.a_RI[3:])
        == torch.count_nonzero(found.b_OR[:, 3:])
        == 0
    )
    wanted = truncated_factors(delta, rank=3)
    assert torch.allclose(found.a_RI[:3], wanted.a_RI, atol=1e-3)
    assert torch.allclose(found.b_OR[:, :3], wanted.b_OR, atol=1e-3)


def test_refactored_form_does_not_depend_on_the_factors_it_came_from():
    a, b = _matrix(4, 30, seed=1), _matrix(20, 4, seed=2)
    turn = _matrix(4, 4, seed=3) + 4 * torch.eye(4)

    one = refactored(LowRankFactors(a, b))
    other = refactored(LowRankFactors(turn @ a, b @ torch.linalg.inv(turn)))

    assert torch.allclose(one.a_RI, other.a_RI, atol=1e-4)
    assert torch.allclose(one.b_OR, other.b_OR, atol=1e-4)


def test_no_change_is_zeros_when_refactored():
    found = refactored(LowRankFactors(_matrix(3, 12), torch.zeros(20, 3)))

    assert torch.count_nonzero(found.a_RI) == torch.count_nonzero(found.b_OR) == 0


def test_rank_above_the_matrix_keeps_its_rank_when_refactored():
    factors = LowRankFactors(_matrix(8, 5), _matrix(3, 8))

    found = refactored(factors)

    assert found.rank == 8
    assert _relative_error(factors.delta(), found) < EXACT


def test_randomized_way_is_the_same_every_time_and_leaves_the_global_seed_alone():
    delta = _matrix(400, 450)
    state = torch.get_rng_state()

    first, second = (truncated_factors(delta, rank=4, seed=9) for _ in range(2))

    assert torch.equal(first.a_RI, second.a_RI)
    assert torch.equal(first.b_OR, second.b_OR)
    assert torch.equal(state, torch.get_rng_state())


def test_directions_are_ordered_signed_and_balanced():
    factors = truncated_factors(_matrix(20, 12), rank=5)

    strength = factors.a_RI.norm(dim=1)
    largest = factors.a_RI.gather(1, factors.a_RI.abs().argmax(1, keepdim=True))
    assert torch.all(strength[:-1] >= strength[1:])
    assert torch.all(largest > 0)
    assert torch.allclose(strength, factors.b_OR.norm(dim=0), rtol=EXACT)


def test_rank_beyond_the_matrix_keeps_what_there_is():
    assert truncated_factors(_matrix(3, 12), rank=8).rank == 3


def test_directions_of_rounding_noise_are_exact_zeros():
    factors = truncated_factors(_matrix(20, 12, rank=2), rank=5)

    assert torch.count_nonzero(factors.a_RI[2:]) == 0
    assert torch.count_nonzero(factors.b_OR[:, 2:]) == 0
    assert not torch.signbit(factors.a_RI[2:]).any()


def test_zero_change_has_zero_factors():
    factors = truncated_factors(torch.zeros(6, 4), rank=2)

    assert torch.count_nonzero(factors.a_RI) == 0
    assert factors.norm() == 0.0


def test_half_precision_is_decomposed_in_float32():
    factors = truncated_factors(_matrix(9, 7, rank=2).bfloat16(), rank=7)

    assert factors.a_RI.dtype == torch.float32


def test_padding_keeps_the_change_and_refuses_to_shrink():
    factors = truncated_factors(_matrix(9, 7), rank=3)

    padded = factors.padded(8)

    assert padded.rank == 8
    assert torch.equal(padded.delta(), factors.delta())
    with pytest.raises(RankError, match="rank 3 to rank 2"):
        factors.padded(2)


@given(coefficient=st.floats(-2, 2, width=32))
def test_scaling_multiplies_the_change_and_its_norm(coefficient):
    factors = truncated_factors(_matrix(9, 7), rank=3)

    scaled = factors.scaled(coefficient)

    assert torch.equal(scaled.a_RI, factors.a_RI)
    assert torch.allclose(scaled.delta(), factors.delta() * coefficient, atol=EXACT)
    assert scaled.norm() == pytest.approx(
        float(factors.delta().norm()) * abs(coefficient), rel=1e-3, abs=1e-3
    )


@pytest.mark.parametrize("rank", [0, -1])
def test_rank_below_one_is_refused(rank):
    with pytest.raises(RankError, match=f"a rank of at least 1, got {rank}"):
        truncated_factors(_matrix(4, 3), rank=rank, module="q_proj")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_change_that_is_not_finite_is_refused_by_name(value):
    delta = _matrix(4, 3)
    delta[2, 1] = value

    with pytest.raises(NonFiniteTensorError, match="q_proj") as caught:
        truncated_factors(delta, rank=1, module="q_proj")

    assert caught.value.module == "q_proj"


def test_factors_of_two_ranks_are_refused_by_the_shape_check_of_the_tests():
    with pytest.raises(TypeCheckError, match="b_OR"):
        LowRankFactors(torch.zeros(2, 5), torch.zeros(4, 3))


def test_factors_of_two_ranks_are_refused_without_it():
    factors = object.__new__(LowRankFactors)
    object.__setattr__(factors, "a_RI", torch.zeros(2, 5))
    object.__setattr__(factors, "b_OR", torch.zeros(4, 3))

    with pytest.raises(ShapeMismatchError, match=r"A is \(2, 5\), B is \(4, 3\)"):
        factors.__post_init__()
