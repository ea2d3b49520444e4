"""Recalibration from end to end, on a target whose helpful layer is known."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.recalibration import (
    HELPING,
    HURTING,
    NOISE,
    calibration_data,
    known_vector,
    known_world,
)
from transformers import LlamaConfig, LlamaForCausalLM

from safegene.artifact.calibration import Calibration
from safegene.errors import CompatibilityError, InvalidDataError, UsageError
from safegene.evaluation.rows import PromptRow
from safegene.vectors.attach import attach
from safegene.vectors.recalibrate import CalibrationData, recalibrate_coefficients
from safegene.vectors.recalibrate.forward import Runner, steady
from safegene.vectors.recalibrate.objective import Objective
from safegene.vectors.recalibrate.samples import Effort, draw_samples
from safegene.vectors.recalibrate.search import SearchSettings
from safegene.vectors.recalibrate.target import Target

DATA = calibration_data()


@contextmanager
def _measured(world):
    """Gives real KL and real objective at given coefficients, measured anew."""
    model, tokenizer, vector = world
    with steady(model):
        samples = draw_samples(model, tokenizer, DATA, Effort(), seed=0)
        with attach(model, vector, {}) as attachment:
            runner = Runner(model, attachment, vector.layers, batch_size=16)
            target = Target(runner, samples, Objective())
            target.record(seed=0, draws=1, progress=lambda done, total: None)

            def measure(coefficients: dict[int, float]) -> tuple[float, float]:
                values = [coefficients[layer] for layer in vector.layers]
                point = torch.tensor(values, dtype=torch.float64)
                return target.kl(point), target.score(point).total

            yield measure


@pytest.mark.parametrize("size", [0.6, 2.0])
def test_helping_layer_is_raised_and_hurting_layer_dropped(size):
    world = known_world(size=size)

    found = recalibrate_coefficients(*world, DATA, budget=0.05)

    assert found.coefficient(HELPING) > 0.2
    assert found.coefficient(HURTING) == 0
    assert float(found.objective_after) < float(found.objective_uniform) - 0.02
    assert float(found.gain.value) > 0.02


def test_coefficients_come_near_the_best_of_a_grid():
    """Two layers that matter, every pair in steps of 0.1, real KL and objective."""
    budget = 0.004
    model, tokenizer, vector = known_world()
    paths = [path for path in vector.factors if vector.layer_of(path) != NOISE]
    vector = replace(vector, factors={path: vector.factors[path] for path in paths})
    steps = [round(0.1 * at, 1) for at in range(8)]

    found = recalibrate_coefficients(
        model,
        tokenizer,
        vector,
        DATA,
        budget=budget,
        search=SearchSettings(kl_price=0.0),
    )

    with _measured((model, tokenizer, vector)) as measure:
        pairs = [measure({HELPING: a, HURTING: b}) for a in steps for b in steps]
    best = min(objective for kl, objective in pairs if kl <= budget)
    before, after = float(found.objective_before), float(found.objective_after)
    assert before - after > 0.9 * (before - best)


@pytest.mark.parametrize("budget", [0.002, 0.01, 0.05])
@pytest.mark.parametrize("size", [1.0, 3.0])
def test_calibration_holds_its_budget_and_is_never_worse_than_uniform(budget, size):
    world = known_world(size=size)

    found = recalibrate_coefficients(*world, DATA, budget=budget)

    assert 0 <= float(found.realised_kl) <= budget
    assert float(found.objective_after) <= float(found.objective_uniform)
    assert float(found.objective_uniform) <= float(found.objective_before)


def test_written_figures_are_those_that_the_written_coefficients_give():
    world = known_world()

    found = recalibrate_coefficients(*world, DATA, budget=0.02)

    uniform = dict.fromkeys(found.by_layer, float(found.uniform_coefficient))
    with _measured(world) as measure:
        kl, objective = measure(found.by_layer)
        uniform_kl, uniform_objective = measure(uniform)
    assert kl == pytest.approx(float(found.realised_kl), rel=1e-4)
    assert objective == pytest.approx(float(found.objective_after), rel=1e-4)
    assert uniform_kl <= 0.02
    assert uniform_objective == pytest.approx(float(found.objective_uniform), rel=1e-4)


def test_negative_coefficients_are_refused_unless_asked_for():
    world = known_world(size=0.6)

    boxed = recalibrate_coefficients(*world, DATA, budget=0.05)
    free = recalibrate_coefficients(*world, DATA, budget=0.05, allow_negative=True)

    assert min(boxed.by_layer.values()) >= 0
    assert max(boxed.by_layer.values()) <= 2
    assert -1 <= free.coefficient(HURTING) < 0


def test_same_seed_gives_the_same_bytes_whatever_the_global_state():
    world = known_world()

    first = recalibrate_coefficients(*world, DATA, budget=0.02, seed=5)
    torch.manual_seed(123)
    again = recalibrate_coefficients(*world, DATA, budget=0.02, seed=5)

    assert first.to_bytes() == again.to_bytes()
    assert Calibration.from_bytes(first.to_bytes()) == first


def test_calibration_names_vector_target_and_data():
    model, tokenizer, vector = known_world()
    digest = f"sha256:{'ab' * 32}"
    vector = replace(vector, identity="demo/tiny@1.0.0", digest=digest)

    found = recalibrate_coefficients(model, tokenizer, vector, DATA)

    assert found.vector == "demo/tiny@1.0.0"
    assert found.digest == digest
    assert found.target_fingerprint == str(vector.architecture.fingerprint)
    assert found.samples == {
        "harmful": 24,
        "lookalike": 16,
        "task": len(DATA.task),
        "general": len(DATA.general),
    }
    assert [entry.name for entry in found.data] == list(found.samples)
    assert set(found.by_layer) == set(vector.layers)
    assert found.forward_equivalents > 0


def test_unpublished_vectors_are_told_apart_by_their_factors():
    model, tokenizer, vector = known_world()
    stronger = known_vector(model, tokenizer, size=3.0)

    first = recalibrate_coefficients(model, tokenizer, vector, DATA)
    second = recalibrate_coefficients(model, tokenizer, stronger, DATA)

    assert first.vector == second.vector == "unpublished"
    assert first.digest != second.digest


def _state(model):
    return (
        {name: value.clone() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [len(module._forward_hooks) for module in model.modules()],
        [parameter.grad is None for parameter in model.parameters()],
    )


def _unsettle(model) -> None:
    """A state that only an exact restore gives back: mixed modes, mixed gradients."""
    model.train()
    model.model.layers[2].eval()
    model.lm_head.weight.requires_grad_(requires_grad=False)


def _same(before, after) -> bool:
    weights = all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    return weights and before[1:] == after[1:]


def test_model_is_left_exactly_as_it_was():
    model, tokenizer, vector = known_world()
    _unsettle(model)
    before = _state(model)

    recalibrate_coefficients(model, tokenizer, vector, DATA)

    assert _same(before, _state(model))


@pytest.mark.parametrize("stage", ["reference", "before", "uniform", "steps"])
def test_model_is_left_exactly_as_it_was_when_stopped(stage):
    model, tokenizer, vector = known_world()
    _unsettle(model)
    before = _state(model)

    def stop(at: str, done: int, total: int) -> None:
        if at == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recalibrate_coefficients(model, tokenizer, vector, DATA, progress=stop)

    assert _same(before, _state(model))


def test_progress_goes_through_every_stage_to_its_end():
    calls: list[tuple[str, int, int]] = []

    recalibrate_coefficients(
        *known_world(), DATA, progress=lambda *call: calls.append(call)
    )

    stages = list(dict.fromkeys(stage for stage, _, _ in calls))
    assert stages == ["reference", "before", "uniform", "steps"]
    for stage in stages:
        mine = [(done, total) for name, done, total in calls if name == stage]
        assert mine[-1][0] == mine[-1][1]
        assert mine == sorted(mine)


def test_bfloat16_target_is_calibrated_too():
    world = known_world(dtype=torch.bfloat16)

    found = recalibrate_coefficients(*world, DATA, budget=0.05)

    assert found.coefficient(HELPING) > 0.2
    assert found.coefficient(HURTING) == 0
    assert float(found.realised_kl) <= 0.05


def test_task_adapter_stays_on_and_unmerged():
    model, tokenizer, vector = known_world()
    config = LoraConfig(r=2, target_modules=["down_proj", "q_proj"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapted = get_peft_model(model, config)
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.2)
    before = _state(adapted)

    found = recalibrate_coefficients(adapted, tokenizer, vector, DATA, budget=0.05)

    plain = recalibrate_coefficients(*known_world(), DATA, budget=0.05)
    assert float(found.objective_after) < float(found.objective_before)
    assert found.objective_before != plain.objective_before
    assert _same(before, _state(adapted))


@pytest.mark.parametrize("count", [0, 1, 15])
def test_fewer_than_sixteen_harmful_prompts_are_an_error(count):
    few = replace(DATA, harmful=DATA.harmful[:count])

    with pytest.raises(InvalidDataError, match=rf"at least 16 .* got {count}"):
        recalibrate_coefficients(*known_world(), few)


def test_repeated_harmful_prompts_count_once():
    repeated = replace(DATA, harmful=DATA.harmful[:8] * 4)

    with pytest.raises(InvalidDataError, match="got 8"):
        recalibrate_coefficients(*known_world(), repeated)


def test_missing_lookalike_or_task_prompts_are_an_error():
    world = known_world()

    with pytest.raises(InvalidDataError, match="look-alike"):
        recalibrate_coefficients(*world, replace(DATA, lookalike=()))
    with pytest.raises(InvalidDataError, match="task"):
        recalibrate_coefficients(*world, replace(DATA, task=(), general=()))


@pytest.mark.parametrize("budget", [0, -0.1, float("inf"), float("nan")])
def test_budget_must_be_a_positive_number(budget):
    with pytest.raises(UsageError, match="budget"):
        recalibrate_coefficients(*known_world(), DATA, budget=budget)


def test_model_of_another_structure_is_refused_untouched():
    _, tokenizer, vector = known_world()
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
    )
    other = LlamaForCausalLM(config)
    before = _state(other)

    with pytest.raises(CompatibilityError, match="layers"):
        recalibrate_coefficients(other, tokenizer, vector, DATA)

    assert _same(before, _state(other))


def test_few_prompts_are_warned_about_with_how_many_are_missing():
    few = replace(DATA, lookalike=DATA.lookalike[:4])

    found = recalibrate_coefficients(*known_world(), few)

    texts = " | ".join(found.warnings)
    assert "24 harmful prompts; 76 more" in texts
    assert "4 look-alike prompts; at least 12 more" in texts


def test_enough_prompts_and_a_clear_gain_are_not_warned_about():
    plenty = calibration_data(harmful=100, lookalike=100)
    # A random tiny model needs more steps than the default for a clear gain.
    far = SearchSettings(trials=8, slopes=4, radius=0.5, kl_price=0.01)

    found = recalibrate_coefficients(
        *known_world(size=0.6), plenty, budget=0.05, search=far
    )

    assert float(found.gain.low) > 0
    assert found.warnings == ()


def test_uncertain_gain_is_warned_about_with_how_many_prompts_would_settle_it():
    """Too small a budget for a gain that two dozen prompts can tell from none."""
    lone_uniform = SearchSettings(trials=0)

    found = recalibrate_coefficients(
        *known_world(size=2.0), DATA, budget=0.06, search=lone_uniform
    )

    assert float(found.gain.low) <= 0
    assert any(
        "overlaps no gain" in text and "more harmful prompts" in text
        for text in found.warnings
    )


def test_vector_that_helps_nothing_gets_zeros_and_says_so():
    model, tokenizer, vector = known_world()
    path = f"model.layers.{HURTING}.mlp.down_proj"
    hurting = replace(vector, factors={path: vector.factors[path]})

    found = recalibrate_coefficients(model, tokenizer, hurting, DATA)

    assert set(found.by_layer.values()) == {0.0}
    assert float(found.realised_kl) == 0
    assert any("all are 0" in text for text in found.warnings)


def test_missing_responses_are_the_targets_own_answers():
    world = known_world()
    silent = CalibrationData(
        harmful=DATA.harmful,
        lookalike=DATA.lookalike,
        task=tuple(PromptRow(row.prompt) for row in DATA.task),
    )

    found = recalibrate_coefficients(*world, silent)

    assert float(found.realised_kl) <= 0.02
    assert "general" not in found.samples


def test_generated_answers_are_counted_as_work():
    model, tokenizer, _ = known_world()

    samples = draw_samples(model, tokenizer, DATA, Effort(), seed=0)

    assert all(row.response for row in DATA.task)
    assert samples.generated == len(DATA.general) == 4


def test_subsampling_keeps_to_the_effort():
    model, tokenizer, _ = known_world()
    effort = Effort(harmful=10, lookalike=6, ordinary=4, behavior=6, response_tokens=2)

    samples = draw_samples(model, tokenizer, DATA, effort, seed=0)

    sizes = {str(group): len(ids) for group, ids in samples.scored.prompts.items()}
    assert sizes == {"harmful": 10, "lookalike": 6, "ordinary": 4}
    assert len(samples.behavior) == 6
    assert max(len(row.response) for row in samples.behavior) == 2
    for group, ids in samples.fit.prompts.items():
        assert [*ids, *samples.check.prompts[group]] == samples.scored.prompts[group]
