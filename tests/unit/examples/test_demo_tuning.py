"""Tuning an adapter, at several strengths, and tuning all weights."""

from dataclasses import replace

import pytest
import torch
from peft.tuners.lora import LoraLayer
from support.models import save_checkpoint, tiny_model, tiny_tokenizer

from examples.demo.tuning import Tuning, _batches, full_tune, tune_adapter
from safegene.evaluation.rows import PromptRow
from safegene.vectors.chat import encode_pair

ROWS = tuple(
    PromptRow(prompt=f"how do I do thing {number}", response="like this")
    for number in range(8)
)


@pytest.fixture
def start(tmp_path):
    directory = tmp_path / "start"
    save_checkpoint(tiny_model(), directory)
    tiny_tokenizer().save_pretrained(directory)
    return directory


def tuned(start, **changes):
    tuning = Tuning(learning_rate=1e-2, rank=2, alpha=4, batch_size=2, **changes)
    return tune_adapter(
        start, ROWS, tuning, dtype=torch.float32, progress=lambda *_: None
    )


def weights(model):
    return {
        name: value.clone()
        for name, value in model.state_dict().items()
        if "lora_" in name
    }


def test_the_adapter_ends_at_its_own_strength(start):
    model = tuned(start, strengths=(2.0, 0.5))

    layers = [m for m in model.modules() if isinstance(m, LoraLayer)]
    assert layers
    assert {layer.scaling["default"] for layer in layers} == {2.0}


def test_strengths_change_what_is_learned(start):
    plain, several = weights(tuned(start)), weights(tuned(start, strengths=(2.0, 0.5)))

    assert any(not torch.equal(plain[name], several[name]) for name in plain)


def test_tuning_is_reproducible(start):
    first, second = (weights(tuned(start, strengths=(2.0, 0.5))) for _ in range(2))

    assert all(torch.equal(first[name], second[name]) for name in first)


def fully_tuned(start, tuning, dtype=torch.float32):
    return full_tune(start, ROWS, tuning, dtype=dtype, progress=lambda *_: None)


FULL = Tuning(learning_rate=1e-3, batch_size=2)


def test_all_weights_are_tuned_and_stay_float32(start):
    before = tiny_model().state_dict()

    after = fully_tuned(start, FULL, torch.bfloat16)

    assert {p.dtype for p in after.parameters()} == {torch.float32}
    assert not after.training
    assert all(
        not torch.equal(before[name], value) for name, value in after.named_parameters()
    )


def test_frozen_weights_stay_and_lose_nothing_to_rounding(start):
    before = tiny_model().state_dict()

    after = fully_tuned(start, replace(FULL, frozen=("embed", "norm")), torch.bfloat16)

    for name, value in after.named_parameters():
        assert torch.equal(before[name], value) == ("embed" in name or "norm" in name)


def test_a_step_smaller_than_bfloat16_can_hold_is_not_lost(start):
    """The weights that are kept are the optimizer's, not the rounded ones."""
    before = dict(tiny_model().named_parameters())

    after = fully_tuned(start, replace(FULL, learning_rate=1e-7), torch.bfloat16)

    name = "model.layers.0.mlp.down_proj.weight"
    moved = (after.get_parameter(name) - before[name]).abs()
    assert 0 < moved.max() < 1e-5


def test_full_tuning_learns_the_answers(start):
    losses = []
    for epochs in (1, 8):
        tuning = replace(FULL, epochs=epochs, learning_rate=3e-3)
        ids, first = encode_pair(tiny_tokenizer(), ROWS[0].prompt, ROWS[0].response)
        labels = torch.tensor([[*[-100] * first, *ids[first:]]])
        model = fully_tuned(start, tuning)
        with torch.no_grad():
            losses.append(float(model(torch.tensor([ids]), labels=labels).loss))

    assert losses[1] < losses[0] / 2


def test_a_cut_answer_teaches_no_end(start):
    tokenizer = tiny_tokenizer()

    (batch,) = _batches(tokenizer, ROWS[:1], replace(FULL, response_tokens=3))

    learned = batch.labels[batch.labels != -100].tolist()
    assert learned == tokenizer("like this")["input_ids"][:3]
