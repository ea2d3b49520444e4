"""The words that callers choose by, and what they stand for."""

import pytest

from safegene.errors import UsageError
from safegene.vectors import recalibrate
from safegene.vectors.choices import Ranking, Solver


def test_every_solver_of_the_core_can_be_chosen():
    assert set(Solver) == set(recalibrate.Solver)
    for word in Solver:
        assert recalibrate.Solver.parse(word).value == word.value


def test_a_ranking_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(UsageError) as caught:
        Ranking.parse("hard")

    assert caught.value.detail == (
        "by: expected one of all, contrast, score, random, got 'hard'"
    )
