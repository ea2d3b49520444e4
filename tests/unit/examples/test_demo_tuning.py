"""Tuning at several strengths ends with the adapter at its own strength."""

import pytest
import torch
from peft.tuners.lora import LoraLayer
from support.models import save_checkpoint, tiny_model, tiny_tokenizer

from examples.demo.tuning import Tuning, tune_adapter
from safegene.evaluation.rows import PromptRow

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
