"""The rank correlation, on settings whose answer is known."""

import pytest
import torch

from benchmarks.objective.correlation import Setting, j_of, spearman, tracking
from safegene.vectors.recalibrate.objective import Group, Objective


def setting(name, harmful, lookalike, refused):
    margins = {Group.HARMFUL: harmful, Group.LOOKALIKE: lookalike}
    return Setting(name, (0.0,), margins, refused)


def test_ties_share_their_rank():
    first = torch.tensor([1.0, 2.0, 2.0, 3.0])

    # Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3.
    assert spearman(first, torch.arange(4.0)) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert spearman(first, -first) == pytest.approx(-1)
    assert spearman(first, torch.ones(4)) == 0


def better_and_better(count):
    """Margins move the right way by steps, and so do the answers."""
    return [
        setting(
            str(step),
            (step - 3.0, step - 2.0),
            (-float(step), 1.0 - step),
            {"bad": "1" * step + "0" * (10 - step), "fine": "0" * 10},
        )
        for step in range(count)
    ]


def test_an_objective_that_falls_as_j_rises_tracks_it():
    found = tracking(
        better_and_better(8), Objective(), harmful=["bad"], harmless=["fine"]
    )

    assert found.value == 1
    assert found.n == 8
    assert found.low > 0.7


def test_an_objective_that_rises_with_j_does_not():
    found = tracking(
        better_and_better(8)[::-1],
        Objective(),
        harmful=["fine"],
        harmless=["bad"],
    )

    assert found.value == -1


def test_j_is_refusals_on_harmful_less_those_on_harmless_prompts():
    found = setting("x", (), (), {"a": "11", "b": "10", "fine": "0001"})

    assert j_of(found, ["a", "b"], ["fine"]) == pytest.approx(0.75 - 0.25)
