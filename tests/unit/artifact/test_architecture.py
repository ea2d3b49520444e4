import pytest
import torch
import transformers as hf

from safegene.artifact.architecture import SUPPORTED, architecture_from_config
from safegene.errors import UnsupportedFamilyError

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 50,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
CONFIGS = [
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
    real = [
        (name, module.out_features, module.in_features, module.bias is not None)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers." in name
    ]

    architecture = architecture_from_config(config.to_dict())

    assert [
        (found.path, found.out_features, found.in_features, found.bias)
        for found in architecture.modules
    ] == real


def test_every_supported_family_is_held_against_its_real_class():
    tested = {parameter.values[0].model_type for parameter in CONFIGS}

    assert tested == set(SUPPORTED)


@pytest.mark.parametrize(
    ("cls", "kv_heads"),
    [(hf.LlamaConfig, 32), (hf.MistralConfig, 8), (hf.Qwen2Config, 32)],
)
def test_a_missing_key_gets_the_real_classs_default(cls, kv_heads):
    config = {**SMALL, "model_type": cls.model_type, "num_attention_heads": 32}

    assert cls(**{k: v for k, v in config.items() if k != "model_type"})
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
