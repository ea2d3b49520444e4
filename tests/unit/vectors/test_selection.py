"""Score statistic, controls, the latency budget, and selection from end to end."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.recalibration import (
    HELPING,
    HURTING,
    NOISE,
    calibration_data,
    known_world,
    quantised,
)

from safegene.errors import InvalidDataError, UsageError
from safegene.vectors.attach import attach
from safegene.vectors.choices import Ranking
from safegene.vectors.recalibrate import CalibrationData, Effort, Objective
from safegene.vectors.recalibrate.forward import Runner, steady
from safegene.vectors.recalibrate.samples import draw_samples
from safegene.vectors.recalibrate.target import Target
from safegene.vectors.select_latency import (
    ROUNDS,
    STEPS,
    decode_slowdown,
    most_layers,
)
from safegene.vectors.select_score import random_scores, score_statistic
from safegene.vectors.selection import select_for_target

DATA = calibration_data()


def test_score_ranks_help_above_noise_above_harm():
    scores = score_statistic(*known_world(size=1.0), DATA)

    assert set(scores) == {HELPING, HURTING, NOISE}
    assert scores[HELPING] > max(0, scores[NOISE])
    assert scores[HURTING] < min(0, scores[NOISE])


def test_score_foretells_what_a_small_step_gains():
    """A step of one layer alone within a KL of ε gains sqrt(2 ε g² / F)."""
    model, tokenizer, vector = known_world(size=1.0)
    score = score_statistic(model, tokenizer, vector, DATA, effort=Effort(behavior=24))
    budget, step = 1e-4, 0.02

    with steady(model), attach(model, vector, {}) as attachment:
        samples = draw_samples(model, tokenizer, DATA, Effort(), seed=0)
        target = Target(
            Runner(model, attachment, vector.layers, batch_size=16),
            samples,
            Objective(),
        )
        target.record(seed=0, draws=0, progress=lambda done, total: None)
        point = torch.zeros(3, dtype=torch.float64)
        before = target.score(point).total
        point[vector.layers.index(HELPING)] = step
        gained = before - target.score(point).total
        kl = target.kl(point)

    told = (2 * budget * score[HELPING]) ** 0.5
    assert gained * (budget / kl) ** 0.5 == pytest.approx(told, rel=0.5)


def test_score_needs_what_recalibration_needs():
    model, tokenizer, vector = known_world(size=1.0)
    few = CalibrationData(DATA.harmful[:15], DATA.lookalike, DATA.task)

    with pytest.raises(InvalidDataError, match="16"):
        score_statistic(model, tokenizer, vector, few)
    with pytest.raises(UsageError, match="no gradients"):
        score_statistic(quantised(model, [HURTING]), tokenizer, vector, DATA)


def test_random_scores_rank_by_the_seed_alone():
    _, _, vector = known_world(size=1.0)

    rankings = {tuple(random_scores(vector, seed=seed).items()) for seed in range(20)}

    assert random_scores(vector, seed=4) == random_scores(vector, seed=4)
    assert 1 < len(rankings) <= 6
    assert all(len({score for _, score in ranking}) == 3 for ranking in rankings)


@given(
    ranked=st.lists(st.integers(0, 60), min_size=1, max_size=40, unique=True),
    cost=st.floats(0, 0.2),
    limit=st.floats(1, 3),
)
def test_most_layers_fill_the_limit_with_the_best(ranked, cost, limit):
    asked = []

    def measure(layers: tuple[int, ...]) -> float:
        asked.append(layers)
        return 1 + cost * len(layers)

    if 1 + cost > limit:
        with pytest.raises(UsageError, match="one layer alone"):
            most_layers(ranked, limit, measure)
        return
    found = most_layers(ranked, limit, measure)

    count = len(found.layers)
    assert found.layers == tuple(sorted(ranked[:count]))
    assert found.slowdown == 1 + cost * count <= limit
    assert count == len(ranked) or 1 + cost * (count + 1) > limit
    assert len(asked) <= 8


@pytest.mark.parametrize("limit", [0.9, float("nan"), float("inf")])
def test_senseless_limits_are_refused(limit):
    with pytest.raises(UsageError, match="latency: expected"):
        most_layers([0], limit, lambda layers: 1.0)


class StepClock:
    """Tells as time how often a module ran, plus something for each hook on the way."""

    def __init__(self, model, *, per_hook: float) -> None:
        self.now = 0.0
        self._per_hook = per_hook
        self._hooked = [layer.mlp.down_proj for layer in model.model.layers]
        model.lm_head.register_forward_hook(self._tick)

    def _tick(self, *_: object) -> None:
        hooks = sum(len(module._forward_hooks) for module in self._hooked)
        self.now += 1 + self._per_hook * hooks

    def __call__(self) -> float:
        return self.now


def test_slowdown_compares_decoding_with_and_without_the_layers():
    model, _, vector = known_world(size=1.0)
    clock = StepClock(model, per_hook=0.25)

    found = decode_slowdown(model, vector, [HELPING, NOISE], clock=clock)

    assert found == 1.5
    prefills = 1 + 2 * ROUNDS
    assert clock.now >= STEPS * (1 + ROUNDS * 2.5) + prefills
    assert not any(layer.mlp.down_proj._forward_hooks for layer in model.model.layers)


def test_selection_keeps_the_layers_that_help_and_says_how():
    world = known_world(size=1.0)

    found = select_for_target(*world, by="score", data=DATA, keep=1)

    recipe = found.vector.recipe
    assert found.vector.layers == (HELPING,)
    assert set(found.vector.layer_scores) == {HELPING, HURTING, NOISE}
    assert recipe.parameters["selected_by"] == "score"
    assert "selection: harmful" in [entry.name for entry in recipe.data]
    assert found.vector.digest is found.slowdown is None


def test_latency_decides_how_many_stay():
    def measure(model, vector, layers):
        return 1 + 0.04 * len(layers)

    found = select_for_target(
        *known_world(size=1.0), by="score", data=DATA, latency=1.1, measure=measure
    )

    assert found.vector.layers == (HELPING, NOISE)
    assert found.slowdown == pytest.approx(1.08)


def test_all_layers_stay_by_default():
    model, tokenizer, vector = known_world(size=1.0)

    found = select_for_target(model, tokenizer, vector)

    assert found.vector.layers == vector.layers
    assert found.vector.selected_layers is None


def test_random_layers_are_a_control():
    kept = {
        select_for_target(
            *known_world(size=1.0), by=Ranking.RANDOM, keep=1, seed=seed
        ).vector.layers
        for seed in range(8)
    }

    assert len(kept) > 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param({"by": "best"}, "all, contrast, score, random", id="by"),
        pytest.param({"keep": 2}, "all keeps every layer", id="all"),
        pytest.param({"by": "random", "keep": 1, "latency": 2.0}, "both", id="both"),
        pytest.param({"by": "score", "keep": 1}, "needs prompts", id="data"),
        pytest.param({"by": "random", "keep": 9}, "1 to 3 layers", id="many"),
    ],
)
def test_senseless_selections_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        select_for_target(*known_world(size=1.0), **options)
