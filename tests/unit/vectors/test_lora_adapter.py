"""Task adapters in a merge: PEFT's own result is the oracle; the rest is refused."""

import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.models import (
    FAMILIES,
    logits_of,
    random_ids,
    random_vector,
    save_checkpoint,
    tiny_model,
)
from transformers import AutoModelForCausalLM

from safegene.errors import CompatibilityError, InvalidDataError, UsageError
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.lora_adapter import read_lora_adapter
from safegene.vectors.merge import merge_checkpoint, merge_into

SAME = 1e-4
"""Absolute, on logits of order one: float32 sums in another order."""


def _adapter(directory, model, **options):
    """A random LoRA adapter as PEFT saves it; returns the adapted model."""
    options = {"target_modules": "all-linear", "r": 4, "lora_alpha": 6} | options
    config = peft.LoraConfig(**options, task_type="CAUSAL_LM", init_lora_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(17)
        adapted = peft.get_peft_model(model, config).eval()
    adapted.save_pretrained(directory, save_embedding_layers=False)
    return adapted


def _edit(directory, **fields):
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_vector_and_task_adapter_merge_together(tmp_path, family, rslora):
    source = save_checkpoint(tiny_model(family), tmp_path / "source", sharded=True)
    vector = random_vector(tiny_model(family))
    adapted = _adapter(tmp_path / "task", tiny_model(family), use_rslora=rslora)
    ids = random_ids(tiny_model(family))

    merge_checkpoint(
        Checkpoint.open(source),
        vector,
        tmp_path / "out",
        task_adapter=tmp_path / "task",
    )

    wanted = adapted.merge_and_unload()
    merge_into(wanted, vector)
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.allclose(logits_of(found, ids), logits_of(wanted, ids), atol=SAME)


def test_adapter_of_some_layers_changes_those_only(tmp_path):
    _adapter(tmp_path, tiny_model(), target_modules=["q_proj"], layers_to_transform=[1])

    changes = read_lora_adapter(tmp_path)

    assert list(changes) == ["model.layers.1.self_attn.q_proj"]
    assert changes["model.layers.1.self_attn.q_proj"].rank == 4


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param({"use_dora": True}, "use_dora", id="dora"),
        pytest.param({"modules_to_save": ["lm_head"]}, "modules_to_save", id="saved"),
        pytest.param({"bias": "all"}, "bias 'all'", id="bias"),
    ],
)
def test_adapter_that_is_no_plain_weight_change_is_refused(tmp_path, options, named):
    _adapter(tmp_path, tiny_model(), **options)

    with pytest.raises(InvalidDataError, match=f"{named}.*merge it with PEFT first"):
        read_lora_adapter(tmp_path)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param({"peft_type": "IA3"}, "peft_type 'IA3'", id="kind"),
        pytest.param({"lora_bias": True}, "lora_bias True", id="lora-bias"),
        pytest.param({"some_future_field": 3}, "some_future_field 3", id="unknown"),
        pytest.param({"init_lora_weights": "pissa"}, "'pissa'", id="moved-base"),
        pytest.param({"r": 0}, "r 0", id="rank-zero"),
        pytest.param({"lora_alpha": "six"}, "lora_alpha 'six'", id="alpha"),
        pytest.param({"r": 3}, "another rank than 3", id="rank-lies"),
        pytest.param(
            {"rank_pattern": {"q_proj": 3}}, "another rank than 3", id="pattern-lies"
        ),
        pytest.param({"rank_pattern": {"(": 4}}, "no pattern", id="pattern-is-none"),
        pytest.param({"alpha_pattern": ["q_proj"]}, "alpha_pattern", id="pattern-list"),
    ],
)
def test_config_that_says_more_than_can_be_merged_is_refused(tmp_path, fields, named):
    _adapter(tmp_path, tiny_model())
    _edit(tmp_path, **fields)

    with pytest.raises(InvalidDataError, match=named):
        read_lora_adapter(tmp_path)


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
    ],
)
def test_factor_without_its_partner_is_refused(tmp_path, key):
    _adapter(tmp_path, tiny_model())
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    del tensors[key]
    save_file(tensors, tmp_path / "adapter_model.safetensors")

    with pytest.raises(InvalidDataError, match="the tensor base_model"):
        read_lora_adapter(tmp_path)


def test_embedding_adapter_is_refused(tmp_path):
    _adapter(tmp_path, tiny_model(), target_modules=["embed_tokens", "q_proj"])

    with pytest.raises(InvalidDataError, match="embed_tokens"):
        read_lora_adapter(tmp_path)


@pytest.mark.parametrize("rslora", [False, True])
def test_ranks_and_alphas_by_pattern_change_what_peft_changes(tmp_path, rslora):
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    adapted = _adapter(
        tmp_path,
        model,
        rank_pattern={"q_proj": 2, r"layers\.1\.mlp\..*": 6},
        alpha_pattern={"layers.0.self_attn.q_proj": 9, "down_proj": 1},
        use_rslora=rslora,
    )

    changes = read_lora_adapter(tmp_path)

    assert changes["model.layers.0.self_attn.q_proj"].rank == 2
    assert changes["model.layers.1.mlp.up_proj"].rank == 6
    after = adapted.merge_and_unload().state_dict()
    for path, change in changes.items():
        wanted = after[f"{path}.weight"] - before[f"{path}.weight"]
        assert torch.allclose(change.delta(), wanted, atol=1e-5), path


def test_pickled_adapter_is_refused_unread(tmp_path):
    _adapter(tmp_path, tiny_model())
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")

    with pytest.raises(InvalidDataError, match="is a pickle, which can run code"):
        read_lora_adapter(tmp_path)


def test_directory_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no PEFT adapter at"):
        read_lora_adapter(tmp_path)


def test_truncated_adapter_is_refused(tmp_path):
    _adapter(tmp_path, tiny_model())
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(UsageError, match="no PEFT adapter at"):
        read_lora_adapter(tmp_path)


def test_adapter_of_another_model_is_refused_and_nothing_is_written(tmp_path):
    source = save_checkpoint(tiny_model(), tmp_path / "source")
    _adapter(tmp_path / "task", tiny_model(num_hidden_layers=3))

    with pytest.raises(CompatibilityError, match=r"model\.layers\.2.*no such weight"):
        merge_checkpoint(
            Checkpoint.open(source),
            random_vector(tiny_model()),
            tmp_path / "out",
            task_adapter=tmp_path / "task",
        )

    assert not (tmp_path / "out").exists()
