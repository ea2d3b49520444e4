"""What holds on the CPU holds on an accelerator, where the machine has one."""

import pytest
import torch
from support.devices import DEVICES
from support.distillation import QUICK, distill_data, distill_pair
from support.models import (
    ALL_FAMILIES,
    logits_of,
    random_ids,
    random_vector,
    tiny_model,
    weight_bytes,
)
from support.recalibration import (
    HELPING,
    HURTING,
    calibration_data,
    known_vector,
    known_world,
    tiny_target,
    tiny_tokenizer,
)

from safegene.evaluation.generation import generate_answers
from safegene.evaluation.rows import prompts_of
from safegene.vectors.attach import attach
from safegene.vectors.distill import distill_safety_vector
from safegene.vectors.distill.run import load_checkpoint
from safegene.vectors.merge import merge_into
from safegene.vectors.recalibrate import recalibrate_coefficients
from safegene.vectors.select_score import score_statistic

pytestmark = pytest.mark.parametrize("device", DEVICES)

SAME = {torch.float32: 2e-3, torch.bfloat16: 0.15}
"""Absolute, on logits of order one: sums in another order."""
DATA = calibration_data()


@pytest.mark.parametrize("dtype", SAME)
@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_attached_equals_merged_and_both_can_be_taken_back(family, dtype, device):
    model = tiny_model(family, dtype=dtype).to(device)
    vector = random_vector(model.cpu())
    model.to(device)
    ids = random_ids(model).to(device)
    before, plain = weight_bytes(model), logits_of(model, ids)

    with attach(model, vector) as attachment:
        attached = logits_of(model, ids)
        attachment.set_coefficients({0: 0.0, 1: 0.0})
        assert torch.equal(logits_of(model, ids), plain)
    undo = merge_into(model, vector)
    merged = logits_of(model, ids)
    undo.undo()

    assert attached.device.type == device
    assert not torch.allclose(attached, plain, atol=1e-2)
    assert torch.allclose(attached, merged, atol=SAME[dtype])
    assert weight_bytes(model) == before


@pytest.mark.parametrize("dtype", SAME)
@pytest.mark.parametrize("solver", ["trust-region", "gradient-free", "adam"])
def test_recalibration_finds_what_helps_within_the_budget(solver, dtype, device):
    model, tokenizer, vector = known_world(dtype=dtype)
    before = weight_bytes(model)

    found = recalibrate_coefficients(
        model.to(device), tokenizer, vector, DATA, budget=0.05, solver=solver
    )

    assert found.coefficient(HELPING) > 0.2
    assert found.coefficient(HURTING) <= found.coefficient(HELPING) / 2
    assert float(found.realised_kl) <= 0.05
    assert weight_bytes(model) == before


def test_coefficients_are_those_of_the_cpu(device):
    tokenizer = tiny_tokenizer()
    vector = known_vector(tiny_target(tokenizer), tokenizer, size=2.0)

    there, here = (
        recalibrate_coefficients(
            tiny_target(tokenizer).to(place), tokenizer, vector, DATA, budget=0.05
        )
        for place in (device, "cpu")
    )

    assert there.values == pytest.approx(here.values, abs=0.05)
    assert float(there.objective_after) == pytest.approx(
        float(here.objective_after), abs=5e-3
    )


def test_answers_and_layer_scores_are_those_of_the_cpu(device):
    model, tokenizer, vector = known_world()
    prompts = prompts_of(DATA.harmful)
    answers = generate_answers(model, tokenizer, prompts, max_new_tokens=6)
    scores = score_statistic(model, tokenizer, vector, DATA)

    model.to(device)

    assert generate_answers(model, tokenizer, prompts, max_new_tokens=6) == answers
    assert score_statistic(model, tokenizer, vector, DATA) == pytest.approx(
        scores, rel=0.05, abs=1e-3
    )


def test_a_vector_is_distilled(device, tmp_path):
    def load(directory):
        model, tokenizer = load_checkpoint(directory)
        return model.to(device), tokenizer

    found = distill_safety_vector(
        *distill_pair(tmp_path), distill_data(), settings=QUICK, rank=4, load=load
    )

    recorded = found.recipe.parameters
    after, before = (
        float(recorded[f"kl_harmful_held_back_{when}"]) for when in ("after", "before")
    )
    assert after < 0.6 * before
    assert all(factors.a_RI.device.type == "cpu" for factors in found.factors.values())
