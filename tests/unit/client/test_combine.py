"""A vector and a task adapter in one adapter: exactly both."""

import copy

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safegene_client.combine import combined_with_adapter
from support.models import logits_of, random_ids, random_vector

from safegene.errors import InvalidDataError, UsageError
from safegene.vectors.attach import attach
from safegene.vectors.peft_format import export_adapter

COEFFICIENTS = {0: 0.5, 1: 1.5}

# Sums in another order, in float32: logits are of the order of 1.
TOLERANCE = 1e-5


def save_adapter(base, place, **changes):
    config = LoraConfig(
        **(
            {
                "r": 3,
                "lora_alpha": 5,
                "target_modules": ["q_proj", "down_proj"],
                "init_lora_weights": False,
                "task_type": "CAUSAL_LM",
            }
            | changes
        )
    )
    with torch.random.fork_rng():
        torch.manual_seed(4)
        adapted = get_peft_model(copy.deepcopy(base), config)
        adapted.save_pretrained(place, save_embedding_layers=False)
    return place


@pytest.mark.parametrize("use_rslora", [False, True])
def test_peft_computes_the_same_with_the_combined_adapter(base, tmp_path, use_rslora):
    adapter = save_adapter(base, tmp_path / "task", use_rslora=use_rslora)
    vector = random_vector(base, leaf_names=["q_proj", "o_proj"])
    ids = random_ids(base)
    both = PeftModel.from_pretrained(copy.deepcopy(base), adapter)
    with attach(both, vector, COEFFICIENTS):
        expected = logits_of(both, ids)

    combined = combined_with_adapter(vector.scaled(COEFFICIENTS), adapter)
    export_adapter(combined, tmp_path / "one")

    loaded = PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "one")
    assert torch.allclose(logits_of(loaded, ids), expected, atol=TOLERANCE)
    assert not torch.allclose(logits_of(base, ids), expected, atol=0.01)
    assert combined.rank == 5


def test_adapter_that_changes_more_than_layers_is_refused(base, tmp_path):
    adapter = save_adapter(base, tmp_path / "task", target_modules=["lm_head"])

    with pytest.raises(InvalidDataError, match="lm_head"):
        combined_with_adapter(random_vector(base), adapter)


def test_missing_adapter_is_named(base, tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        combined_with_adapter(random_vector(base), tmp_path / "nowhere")
