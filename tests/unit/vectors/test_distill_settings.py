"""Settings of a distillation: refused where they make no sense, recorded as text."""

import pytest
import torch

from safegene.errors import UsageError
from safegene.vectors.distill import DistillSettings
from safegene.vectors.distill.train import LOWEST_RATE, learning_share, split


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("steps", 0),
        ("batch_size", 0),
        ("answer_tokens", 0),
        ("top_k", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("alpha", -1.0),
        ("benign_weight", -0.1),
        ("opening_weight", float("nan")),
        ("opening_tokens", -1),
        ("answers", "beam"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(UsageError, match=f"{name}: expected .*, got {value}"):
        DistillSettings(**{name: value})


def test_weights_that_leave_nothing_to_learn_are_refused():
    with pytest.raises(UsageError, match="opening_weight"):
        DistillSettings(opening_weight=0, opening_tokens=4, answer_tokens=4)


def test_parameters_are_text_without_floats():
    found = DistillSettings(learning_rate=2e-5, top_k=None).parameters()

    assert found["learning_rate"] == "2e-5"
    assert found["top_k"] == "all"
    assert all(isinstance(value, str) for value in found.values())


def test_the_rate_rises_then_falls_to_a_tenth():
    shares = [learning_share(step, 100, 0.1) for step in range(100)]

    assert shares[:10] == sorted(shares[:10])
    assert shares[9] == 1.0
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[-1] == LOWEST_RATE


@pytest.mark.parametrize(("count", "held_back"), [(16, 4), (80, 10)])
def test_an_eighth_is_held_back_and_at_least_four(count, held_back):
    found = split(count, torch.Generator().manual_seed(0))

    assert len(found.held_back) == held_back
    assert sorted(found.train + found.held_back) == list(range(count))
