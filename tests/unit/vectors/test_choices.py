"""The words that callers choose by, and what they stand for."""

from dataclasses import asdict

import pytest

from safegene.errors import UsageError
from safegene.vectors import recalibrate
from safegene.vectors.choices import EffortLevel, Ranking, Solver
from safegene.vectors.recalibrate import Effort

PROMPTS = {"harmful", "lookalike", "ordinary", "behavior"}
"""The fields of an effort that say how many are read."""


def test_every_solver_of_the_core_can_be_chosen():
    assert set(Solver) == set(recalibrate.Solver)
    for word in Solver:
        assert recalibrate.Solver.parse(word).value == word.value


@pytest.mark.parametrize(
    ("level", "factor"),
    [(EffortLevel.QUICK, 1 / 2), (EffortLevel.NORMAL, 1), (EffortLevel.THOROUGH, 3)],
)
def test_a_level_changes_how_many_are_read_and_nothing_else(level, factor):
    normal, found = asdict(Effort()), asdict(Effort(**level.limits))

    for name, value in normal.items():
        assert found[name] == (factor * value if name in PROMPTS else value)


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (EffortLevel, "effort: expected one of quick, normal, thorough, got 'hard'"),
        (Ranking, "by: expected one of all, contrast, score, random, got 'hard'"),
    ],
)
def test_a_word_that_is_none_is_refused_with_those_that_are(choice, told):
    with pytest.raises(UsageError) as caught:
        choice.parse("hard")

    assert caught.value.detail == told
