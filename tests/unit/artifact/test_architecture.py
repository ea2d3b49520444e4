import pytest
import torch
import transformers as hf
from transformers.pytorch_utils import Conv1D

from safegene.artifact.architecture import (
    SUPPORTED,
    architecture_from_config,
    check_architecture,
)
from safegene.errors import UnsupportedFamilyError

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 50,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
GPT2 = {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 50}
CONFIGS = [
    pytest.param(hf.Gemma2Config(**GROUPED, pad_token_id=0), id="gemma2"),
    pytest.param(
        hf.Gemma2Config(**GROUPED, pad_token_id=0, head_dim=24, attention_bias=True),
        id="gemma2 biases",
    ),
    pytest.param(hf.Gemma3TextConfig(**GROUPED, pad_token_id=0), id="gemma3_text"),
    pytest.param(
        hf.Gemma3TextConfig(**GROUPED, pad_token_id=0, head_dim=8),
        id="gemma3_text narrow heads",
    ),
    pytest.param(hf.Glm4Config(**GROUPED, pad_token_id=0), id="glm4"),
    pytest.param(
        hf.Glm4Config(**GROUPED, pad_token_id=0, head_dim=8, attention_bias=False),
        id="glm4 no attention bias",
    ),
    pytest.param(hf.GPT2Config(**GPT2), id="gpt2"),
    pytest.param(hf.GPT2Config(**GPT2, n_inner=80), id="gpt2 own inner size"),
    pytest.param(hf.Olmo2Config(**GROUPED), id="olmo2"),
    pytest.param(hf.Olmo2Config(**SMALL, attention_bias=True), id="olmo2 biases"),
    pytest.param(hf.Phi3Config(**SMALL, pad_token_id=0), id="phi3"),
    pytest.param(hf.Phi3Config(**GROUPED, pad_token_id=0), id="phi3 grouped heads"),
    pytest.param(hf.LlamaConfig(**SMALL), id="llama"),
    pytest.param(hf.LlamaConfig(**GROUPED), id="llama grouped heads"),
    pytest.param(hf.LlamaConfig(**GROUPED, head_dim=32), id="llama wide heads"),
    pytest.param(
        hf.LlamaConfig(**SMALL, attention_bias=True, mlp_bias=True), id="llama biases"
    ),
    pytest.param(hf.MistralConfig(**GROUPED), id="mistral"),
    pytest.param(hf.MistralConfig(**GROUPED, head_dim=8), id="mistral narrow heads"),
    pytest.param(hf.Qwen2Config(**GROUPED), id="qwen2"),
    pytest.param(hf.Qwen3Config(**GROUPED), id="qwen3"),
    pytest.param(hf.Qwen3Config(**GROUPED, attention_bias=True), id="qwen3 biases"),
    pytest.param(hf.GPTNeoXConfig(**SMALL), id="gpt_neox"),
    pytest.param(
        hf.GPTNeoXConfig(**SMALL, attention_bias=False), id="gpt_neox no attention bias"
    ),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_structure_is_that_of_the_real_class(config):
    with torch.device("meta"):
        model = hf.AutoModelForCausalLM.from_config(config)
    architecture = architecture_from_config(config.to_dict())
    real = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D) and name != "lm_head":
            shape = tuple(module.weight.shape)
            assert isinstance(module, Conv1D) == architecture.stored_transposed
            out_in = shape[::-1] if architecture.stored_transposed else shape
            real.append((name, *out_in, module.bias is not None))

    assert [
        (found.path, found.out_features, found.in_features, found.bias)
        for found in architecture.modules
    ] == real
    check_architecture(architecture)


def test_every_supported_family_is_held_against_its_real_class():
    tested = {parameter.values[0].model_type for parameter in CONFIGS}

    assert tested == set(SUPPORTED)


@pytest.mark.parametrize(
    ("cls", "kv_heads"),
    [
        *((hf.LlamaConfig, 32), (hf.MistralConfig, 8), (hf.Qwen2Config, 32)),
        *((hf.Gemma2Config, 4), (hf.Gemma3TextConfig, 4), (hf.Glm4Config, 2)),
        *((hf.Phi3Config, 32), (hf.Olmo2Config, 32)),
    ],
)
def test_a_missing_key_gets_the_real_classs_default(cls, kv_heads):
    config = {**SMALL, "model_type": cls.model_type, "num_attention_heads": 32}

    real = cls(**{k: v for k, v in config.items() if k != "model_type"}, pad_token_id=0)
    assert real.num_key_value_heads == kv_heads
    assert architecture_from_config(config).kv_heads == kv_heads


def test_the_fingerprint_is_blind_to_what_is_not_structure():
    config = hf.LlamaConfig(**SMALL).to_dict()
    other = {**config, "vocab_size": 99, "rope_theta": 5.0, "torch_dtype": "bfloat16"}

    assert (
        architecture_from_config(other).fingerprint
        == architecture_from_config(config).fingerprint
    )


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": 4},
        {"hidden_size": 128},
        {"intermediate_size": 97},
        {"num_key_value_heads": 2},
        {"mlp_bias": True},
        {"model_type": "mistral"},
    ],
)
def test_the_fingerprint_sees_every_structural_change(change):
    config = hf.LlamaConfig(**SMALL).to_dict()

    assert (
        architecture_from_config({**config, **change}).fingerprint
        != architecture_from_config(config).fingerprint
    )


@pytest.mark.parametrize("model_type", [None, "bert", 7, "../llama"])
def test_an_unknown_model_type_is_never_guessed(model_type):
    with pytest.raises(UnsupportedFamilyError, match="unknown architecture"):
        architecture_from_config({**SMALL, "model_type": model_type})


def test_the_language_part_of_a_larger_model_is_named_with_what_to_do():
    config = hf.Gemma3Config(text_config={**GROUPED, "pad_token_id": 0}).to_dict()

    with pytest.raises(UnsupportedFamilyError) as caught:
        architecture_from_config(config)

    message = str(caught.value)
    assert "'gemma3' is more than a language model" in message
    assert "its language part is 'gemma3_text', which is supported" in message
    assert "save that part alone" in message
    inner = architecture_from_config(config["text_config"])
    assert inner.model_type == "gemma3_text"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"model_type": "roberta"}, "language part is 'roberta', is not supported"),
        ({"model_type": 7}, "model_type 'clip'; supported are"),
        ({}, "model_type 'clip'; supported are"),
        ("gemma3_text", "model_type 'clip'; supported are"),
    ],
)
def test_a_language_part_nobody_knows_is_not_promised_anything(part, said):
    with pytest.raises(UnsupportedFamilyError, match=said):
        architecture_from_config({"model_type": "clip", "text_config": part})


def test_modules_beyond_the_familys_plan_are_refused_by_field():
    config = hf.GPT2Config(**GPT2, add_cross_attention=True).to_dict()

    with pytest.raises(UnsupportedFamilyError, match="add_cross_attention: expected f"):
        architecture_from_config(config)


def test_a_fused_module_wider_than_any_is_refused_by_field():
    config = {**SMALL, "model_type": "phi3", "intermediate_size": (1 << 23) + 1}

    with pytest.raises(UnsupportedFamilyError, match="intermediate_size: expected 1 t"):
        architecture_from_config(config)


def test_only_the_known_family_of_transposed_weights_says_so():
    found = architecture_from_config({"model_type": "gpt2", **GPT2})

    assert found.stored_transposed
    assert not architecture_from_config(
        {**SMALL, "model_type": "llama"}
    ).stored_transposed
    foreign = found.model_copy(update={"model_type": "../gpt2"})
    assert not foreign.stored_transposed


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hidden_size": None}, "hidden_size"),
        ({"num_hidden_layers": "3"}, "num_hidden_layers"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"intermediate_size": 0}, "intermediate_size"),
        ({"num_attention_heads": True}, "num_attention_heads"),
        ({"mlp_bias": "yes"}, "mlp_bias"),
        ({"head_dim": -1}, "head_dim"),
    ],
)
def test_a_senseless_field_is_named(change, field):
    with pytest.raises(UnsupportedFamilyError) as caught:
        architecture_from_config({**SMALL, "model_type": "llama", **change})

    assert field in str(caught.value)


@pytest.mark.parametrize("model_type", ["gpt_neox", "llama"])
def test_heads_that_would_have_no_size_are_refused_by_field(model_type):
    config = {**SMALL, "model_type": model_type, "hidden_size": 4}

    with pytest.raises(UnsupportedFamilyError) as caught:
        architecture_from_config({**config, "num_attention_heads": 8})

    assert "hidden_size: expected at least 8 for as many heads, got 4" in str(
        caught.value
    )
    assert caught.value.context["field"] == "hidden_size"


def test_heads_may_have_a_size_of_their_own():
    config = {**SMALL, "model_type": "llama", "hidden_size": 4, "head_dim": 2}

    assert architecture_from_config({**config, "num_attention_heads": 8}).head_size == 2


def test_a_module_is_found_by_its_path():
    architecture = architecture_from_config({**SMALL, "model_type": "llama"})

    assert architecture.module("model.layers.2.mlp.up_proj").out_features == 96
    assert architecture.module("model.layers.3.mlp.up_proj") is None
