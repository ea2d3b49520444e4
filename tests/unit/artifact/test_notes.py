"""Notes never decide anything, and say what a person would want to know."""

import pytest

from safegene.artifact.compatibility import Level, compare
from safegene.artifact.notes import config_notes


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({"vocab_size": 107}, "vocab_size: 107"),
        ({"max_position_embeddings": 512}, "max_position_embeddings: 512"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings: True"),
        ({"rope_theta": 5e5}, "rope_theta: 500000.0"),
        (
            {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}},
            "rope_parameters: {'factor': 8.0, 'rope_type': 'llama3'}",
        ),
        ({"dtype": "bfloat16"}, "dtype: bfloat16"),
        ({"sliding_window": 8}, "sliding_window: 8"),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "quantized (gptq, 4 bits): vectors can be attached to it, not merged",
        ),
        (
            {
                "quantization_config": {
                    "quant_method": "bitsandbytes",
                    "load_in_4bit": False,
                    "load_in_8bit": True,
                }
            },
            "quantized (bitsandbytes, 8 bits): vectors can be attached",
        ),
        ({"quantization_config": {}}, "quantized (by an unnamed method): vectors can"),
        ({"quantization_config": "awq"}, "quantized (awq): vectors can be attached"),
        (
            {"auto_map": {"AutoModelForCausalLM": "modeling.X"}},
            "auto_map: the model brings code of its own; its modules are taken to be"
            " those of llama in transformers",
        ),
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            "architectures: LlamaForSequenceClassification, not LlamaForCausalLM: what",
        ),
    ],
)
def test_what_is_no_structure_is_noted_and_does_not_decide(
    architecture, config, more, note
):
    verdict = compare(architecture, {**config, **more})

    assert verdict.level is Level.STRUCTURAL
    (found,) = verdict.notes
    assert found.startswith(note)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="nothing to say"),
        pytest.param({"vocab_size": None, "quantization_config": None}, id="nulls"),
        pytest.param({"auto_map": {}}, id="no code"),
        pytest.param({"architectures": ["LlamaForCausalLM"]}, id="the language model"),
        pytest.param({"architectures": []}, id="no class"),
        pytest.param({"architectures": "Llama"}, id="no list"),
    ],
)
def test_where_there_is_nothing_to_say_nothing_is_said(config, more):
    assert config_notes({**config, **more}) == ()


@pytest.mark.parametrize("model_type", [None, ["llama"], "bert"])
def test_a_class_of_no_known_family_is_not_commented_on(model_type):
    config = {"model_type": model_type, "architectures": ["BertModel"]}

    assert config_notes(config) == ()
