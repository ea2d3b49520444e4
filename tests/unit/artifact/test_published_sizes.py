"""Published models in full size, against the real classes on the meta device."""

import pytest
from support.published import PUBLISHED
from support.real_classes import derived_modules, real_modules

from safegene.artifact.architecture import architecture_from_config, check_architecture


@pytest.mark.parametrize("config", PUBLISHED.values(), ids=PUBLISHED)
def test_a_published_model_has_the_modules_of_the_real_class(config):
    architecture = architecture_from_config(config)

    assert derived_modules(architecture) == real_modules(config)
    check_architecture(architecture)


def changed(name, **fields):
    return architecture_from_config({**PUBLISHED[name], **fields}).fingerprint


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        pytest.param("Llama-7B", {"tie_word_embeddings": True}, id="tied embeddings"),
        pytest.param("Mistral-7B-v0.1", {"sliding_window": None}, id="no window"),
        pytest.param("gemma-2-2b", {"sliding_window": 512}, id="another window"),
        pytest.param(
            "gemma-3-1b",
            {"layer_types": ["full_attention"] * 26},
            id="layers without a window",
        ),
        pytest.param("SmolLM3-3B", {"no_rope_layers": [1] * 36}, id="layers with RoPE"),
        pytest.param("Phi-4-mini", {"partial_rotary_factor": 1.0}, id="rotary part"),
        pytest.param("gpt-neox-20b", {"use_parallel_residual": False}, id="residual"),
        pytest.param("Qwen3-8B", {"vocab_size": 151999}, id="added tokens"),
    ],
)
def test_what_adds_no_module_leaves_the_fingerprint(name, fields):
    assert changed(name, **fields) == changed(name)


def test_models_of_one_size_and_another_family_are_told_apart():
    mistral = PUBLISHED["Mistral-7B-v0.1"]
    llama = {**mistral, "model_type": "llama"}

    assert derived_modules(architecture_from_config(llama)) == derived_modules(
        architecture_from_config(mistral)
    )
    assert (
        architecture_from_config(llama).fingerprint
        != architecture_from_config(mistral).fingerprint
    )
