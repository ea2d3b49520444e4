import pytest
import transformers as hf
from support.real_classes import derived_modules, real_model, real_modules
from transformers.pytorch_utils import Conv1D

from safegene.artifact.architecture import architecture_from_config, check_architecture
from safegene.artifact.family import known_families
from safegene.errors import UnsupportedFamilyError

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 50,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
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
    pytest.param(hf.SmolLM3Config(**GROUPED, **TOKENS), id="smollm3"),
    pytest.param(
        hf.SmolLM3Config(**GROUPED, **TOKENS, attention_bias=True, mlp_bias=True),
        id="smollm3 biases",
    ),
    pytest.param(
        hf.SmolLM3Config(
            **GROUPED,
            **TOKENS,
            no_rope_layers=[0, 1, 0],
            use_sliding_window=True,
            sliding_window=8,
        ),
        id="smollm3 layers without RoPE and with a window",
    ),
    pytest.param(hf.GPTNeoXConfig(**SMALL), id="gpt_neox"),
    pytest.param(
        hf.GPTNeoXConfig(**SMALL, attention_bias=False), id="gpt_neox no attention bias"
    ),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_structure_is_that_of_the_real_class(config):
    architecture = architecture_from_config(config.to_dict())

    assert derived_modules(architecture) == real_modules(config)
    check_architecture(architecture)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_way_weights_are_stored_is_that_of_the_real_class(config):
    architecture = architecture_from_config(config.to_dict())
    model = real_model(config)

    for module in architecture.modules:
        kind = type(model.get_submodule(module.path))
        assert architecture.stored_transposed == (kind is Conv1D)


def test_every_known_family_is_held_against_its_real_class():
    tested = {parameter.values[0].model_type for parameter in CONFIGS}

    assert tested == set(known_families())


@pytest.mark.parametrize(
    ("cls", "kv_heads"),
    [
        *((hf.LlamaConfig, 32), (hf.MistralConfig, 8), (hf.Qwen2Config, 32)),
        *((hf.Gemma2Config, 4), (hf.Gemma3TextConfig, 4), (hf.Glm4Config, 2)),
        *((hf.Phi3Config, 32), (hf.Olmo2Config, 32), (hf.SmolLM3Config, 4)),
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
    ("change", "field", "expected", "actual"),
    [
        ({"hidden_size": None}, "hidden_size", "a positive integer", "null"),
        ({"hidden_size": 64.0}, "hidden_size", "a positive integer", "64.0"),
        ({"num_hidden_layers": "3"}, "num_hidden_layers", "a positive integer", "'3'"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers", "1 to 1024", "1000000000"),
        (
            {"num_hidden_layers": 10**5000},
            *("num_hidden_layers", "1 to 1024", "an integer of 16610 bits"),
        ),
        ({"intermediate_size": 0}, "intermediate_size", "1 to 16777216", "0"),
        (
            {"num_attention_heads": True},
            *("num_attention_heads", "a positive integer", "true"),
        ),
        (
            {"num_key_value_heads": 3},
            *(
                "num_key_value_heads",
                "a divisor of num_attention_heads, which is 4",
                "3",
            ),
        ),
        ({"mlp_bias": "yes"}, "mlp_bias", "true or false", "'yes'"),
        ({"mlp_bias": None}, "mlp_bias", "true or false", "null"),
        ({"head_dim": -1}, "head_dim", "1 to 16777216", "-1"),
        ({"head_dim": [64]}, "head_dim", "a positive integer", "[64]"),
    ],
)
def test_a_senseless_field_is_named_with_what_was_expected(
    change, field, expected, actual
):
    with pytest.raises(UnsupportedFamilyError) as caught:
        architecture_from_config({**SMALL, "model_type": "llama", **change})

    error = caught.value
    assert f"'llama': {field}: expected {expected}, got {actual}" in error.detail
    assert (error.reason, error.field) == ("invalid-config", field)
    assert (error.expected, error.actual) == (expected, actual)


@pytest.mark.parametrize(
    "field",
    ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"],
)
def test_a_missing_field_is_named(field):
    config = {**SMALL, "model_type": "mistral"}
    del config[field]

    with pytest.raises(UnsupportedFamilyError, match=f"{field}: .* got nothing"):
        architecture_from_config(config)


def test_the_other_name_of_a_field_is_read_as_the_real_class_reads_it():
    config = {
        "model_type": "gpt2",
        "vocab_size": 50,
        "hidden_size": 32,
        "n_head": 4,
        "num_hidden_layers": 2,
    }

    assert derived_modules(architecture_from_config(config)) == real_modules(config)


def test_two_names_that_disagree_are_refused():
    config = {"model_type": "gpt2", **GPT2, "hidden_size": 128}

    with pytest.raises(UnsupportedFamilyError) as caught:
        architecture_from_config(config)

    said = "hidden_size: expected the same as n_embd, which is 64, got 128"
    assert said in caught.value.detail


def test_attention_wider_than_any_is_refused_by_field():
    config = {**SMALL, "model_type": "llama", "head_dim": 1 << 23}

    with pytest.raises(UnsupportedFamilyError, match="heads: expected attention of at"):
        architecture_from_config(config)


@pytest.mark.parametrize("model_type", ["gpt_neox", "llama"])
def test_heads_that_would_have_no_size_are_refused_by_field(model_type):
    config = {**SMALL, "model_type": model_type, "hidden_size": 4}

    with pytest.raises(UnsupportedFamilyError) as caught:
        architecture_from_config({**config, "num_attention_heads": 8})

    said = "hidden_size: expected a multiple of num_attention_heads, which is 8, got 4"
    assert said in str(caught.value)
    assert caught.value.field == "hidden_size"


def test_heads_may_have_a_size_of_their_own():
    config = {**SMALL, "model_type": "llama", "hidden_size": 4, "head_dim": 2}

    assert architecture_from_config({**config, "num_attention_heads": 8}).head_size == 2


def test_a_module_is_found_by_its_path():
    architecture = architecture_from_config({**SMALL, "model_type": "llama"})

    assert architecture.module("model.layers.2.mlp.up_proj").out_features == 96
    assert architecture.module("model.layers.3.mlp.up_proj") is None
