"""Canonical factors of a change that is only known as a product."""

import torch

from safegene.vectors.factors import LowRankFactors, refactored, truncated_factors

CLOSE = 1e-5
"""Relative: rounding of float32 factors."""


def _random(rank=3, rows=20, columns=12):
    generator = torch.Generator().manual_seed(0)
    return LowRankFactors(
        torch.randn(rank, columns, generator=generator),
        torch.randn(rows, rank, generator=generator),
    )


def test_the_change_stays_the_same():
    factors = _random()

    found = refactored(factors)

    error = (found.delta() - factors.delta()).norm()
    assert error < CLOSE * factors.norm()
    assert found.a_RI.dtype == found.b_OR.dtype == torch.float32


def test_it_is_what_the_change_itself_would_give():
    factors = _random()

    found, wanted = refactored(factors), truncated_factors(factors.delta(), rank=3)

    assert torch.allclose(found.a_RI, wanted.a_RI, atol=1e-4)
    assert torch.allclose(found.b_OR, wanted.b_OR, atol=1e-4)


def test_directions_that_add_nothing_become_zero_at_the_same_rank():
    one = _random(rank=1)
    doubled = LowRankFactors(
        one.a_RI.repeat(3, 1), torch.cat([one.b_OR, -one.b_OR, one.b_OR], dim=1)
    )

    found = refactored(doubled)

    assert found.rank == 3
    assert torch.count_nonzero(found.a_RI[1:]) == 0
    assert torch.count_nonzero(found.b_OR[:, 1:]) == 0
    assert (found.delta() - one.delta()).norm() < CLOSE * one.norm()


def test_no_change_gives_zeros():
    factors = _random()
    nothing = LowRankFactors(factors.a_RI, torch.zeros_like(factors.b_OR))

    found = refactored(nothing)

    assert torch.count_nonzero(found.a_RI) == 0
    assert torch.count_nonzero(found.b_OR) == 0


def test_a_rank_above_the_matrix_stays():
    factors = _random(rank=15)

    found = refactored(factors)

    assert found.rank == 15
    assert (found.delta() - factors.delta()).norm() < CLOSE * factors.norm()
