"""Models without a known structure: each gets the reason that helps most."""

import pytest
import transformers as hf
from huggingface_hub.errors import StrictDataclassError
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from safegene.artifact.architecture import architecture_from_config
from safegene.errors import UnsupportedFamilyError

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def refusal(config):
    with pytest.raises(UnsupportedFamilyError) as caught:
        architecture_from_config(config)
    return caught.value


@pytest.mark.parametrize(
    ("model_type", "actual"),
    [("bert", "bert"), (7, "7"), ("../llama", "../llama"), (["llama"], "['llama']")],
)
def test_an_unknown_model_type_is_never_guessed(model_type, actual):
    error = refusal({**SIZES, "model_type": model_type})

    assert error.reason == "unknown-architecture"
    assert (error.field, error.actual) == ("model_type", actual)
    assert "unknown architecture: model_type" in error.detail
    assert "supported are gemma2, gemma3_text, glm4" in error.detail


@pytest.mark.parametrize("config", [SIZES, {**SIZES, "model_type": None}, {}])
def test_a_config_without_a_model_type_is_told_so(config):
    error = refusal(config)

    assert error.reason == "unknown-architecture"
    assert "has no model_type; expected the config.json" in error.detail


@pytest.mark.parametrize(
    "model_type", ["mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v3", "gpt_oss"]
)
def test_models_with_experts_are_told_that_those_stand_in_the_way(model_type):
    error = refusal({**SIZES, "model_type": model_type})

    assert error.reason == "unsupported-experts"
    assert f"unsupported: experts: the layers of model_type '{model_type}'" in str(
        error
    )
    assert "use a dense model" in error.detail
    assert error.actual == model_type


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(hf.Qwen3MoeConfig().to_dict(), id="as transformers writes it"),
        pytest.param({"model_type": "new_moe", "num_experts": 8}, id="a new one"),
        pytest.param(
            {"model_type": "new_vl", "text_config": {"num_local_experts": 8}},
            id="in the language part",
        ),
    ],
)
def test_experts_are_seen_by_their_number(config):
    error = refusal(config)

    assert error.reason == "unsupported-experts"
    assert "experts" in error.detail.partition("(")[2]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"num_experts": 1}, id="one is none"),
        pytest.param({"num_experts": None}, id="null"),
        pytest.param({"num_experts": True}, id="no number"),
        pytest.param({"num_experts": 64, "is_moe": False}, id="switched off"),
    ],
)
def test_no_experts_are_claimed_where_there_are_none(config):
    assert refusal({"model_type": "new", **config}).reason == "unknown-architecture"


def test_experts_of_a_known_dense_family_are_not_its_own():
    config = {**SIZES, "model_type": "llama", "intermediate_size": 96, "num_experts": 8}

    assert architecture_from_config(config).layers == 2


@pytest.mark.slow
def test_every_model_type_with_experts_in_transformers_is_known_to_have_them():
    missing = []
    for model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        try:
            config = hf.AutoConfig.for_model(model_type).to_dict()
        except StrictDataclassError:  # has no defaults to look at
            continue
        counts = [
            value
            for name, value in config.items()
            if "experts" in name and "per_tok" not in name and "shared" not in name
        ]
        has_several = any(
            isinstance(c, int) and not isinstance(c, bool) and c > 1 for c in counts
        )
        if has_several and config.get("is_moe", True):
            error = refusal(config)
            if error.reason != "unsupported-experts":
                missing.append(model_type)

    assert not missing, "add these to safegene/artifact/others/experts.json"


@pytest.mark.parametrize(
    ("config", "owner"),
    [
        ({"model": "gpt-4.1-mini"}, "OpenAI"),
        ({"model": "openai/gpt-5"}, "OpenAI"),
        ({"_name_or_path": "azure/gpt-4o"}, "OpenAI"),
        ({"model": "o3"}, "OpenAI"),
        ({"model_type": "claude-sonnet"}, "Anthropic"),
        ({"model": "us.anthropic.claude-x"}, "Anthropic"),
        ({"model": "models/gemini-2.5-pro"}, "Google"),
    ],
)
def test_closed_weights_are_named_with_what_can_be_done_instead(config, owner):
    error = refusal(config)

    assert error.reason == "closed-weights"
    assert f"behind an API ({owner})" in error.detail
    assert "put a guard model or a system prompt in front of it" in error.detail
    assert "a model with open weights (gemma2," in error.detail
    assert error.actual in config.values()


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"model": "gpt-oss-20b"}, id="open weights of a closed house"),
        pytest.param({"model": "gpt4all-j"}, id="only sounds like it"),
        pytest.param({"model": "o10"}, id="another name"),
        pytest.param({"model": "grok-1"}, id="an open older one"),
        pytest.param({"model": "gpt-4" * 1000}, id="no name at all"),
        pytest.param({"model": ["gpt-4"]}, id="no text"),
        pytest.param(
            {"_name_or_path": "my/gpt-4-like", "architectures": ["BertModel"]},
            id="a model that lies here",
        ),
    ],
)
def test_open_weights_are_not_called_closed(config):
    assert refusal(config).reason == "unknown-architecture"


def test_the_language_part_of_a_larger_model_is_named_with_what_to_do():
    inner = {**SIZES, "intermediate_size": 96, "vocab_size": 50, "pad_token_id": 0}
    config = hf.Gemma3Config(text_config=inner).to_dict()

    error = refusal(config)

    assert error.reason == "unknown-architecture"
    assert "'gemma3' is more than a language model" in error.detail
    assert "its language part is 'gemma3_text', which is supported" in error.detail
    assert "save that part alone" in error.detail
    assert architecture_from_config(config["text_config"]).layers == 2


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
    assert said in refusal({"model_type": "clip", "text_config": part}).detail
