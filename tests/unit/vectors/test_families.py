"""Every supported family, from a pair of models to a repaired target, exactly.

The oracle is the aligned model itself: the pair differs by a known low rank, so a
vector of that rank must turn the degraded model into the aligned one, whatever way it
is applied. A transposed, shifted or left-out module cannot pass.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import (
    ALL_FAMILIES,
    linear_paths,
    logits_of,
    random_ids,
    random_vector,
    save_checkpoint,
    save_pair,
    tiny_config,
    tiny_model,
    weight_bytes,
)
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    Gemma3Config,
)
from transformers.pytorch_utils import Conv1D

from safegene.artifact.family import supported_types
from safegene.errors import UnsupportedFamilyError
from safegene.vectors.attach import attach
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.extract import extract_safety_vector
from safegene.vectors.merge import merge_checkpoint, merge_into
from safegene.vectors.vector import SafetyVector

SAME = 2e-4
"""Absolute, on logits of order one: float32 sums in another order."""
FAR = 0.02
"""Absolute: what the pair's logits differ by at least."""
HALF = {torch.bfloat16: 0.05, torch.float16: 0.05 / 8}
"""Norm of the error by norm of the change: 8 and 11 bits, rounded after every module,
on a change about as large as the logits. Measured .032 and .0038 at most."""
RANK = 2

CASES = {family: (family, {}) for family in ALL_FAMILIES} | {
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-one-kv-head": ("llama", {"num_key_value_heads": 1}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3-biases": ("qwen3", {"attention_bias": True}),
    "gemma2-untied": ("gemma2", {"tie_word_embeddings": False}),
    "gemma2-biases": ("gemma2", {"attention_bias": True}),
    "phi3-tied": ("phi3", {"tie_word_embeddings": True}),
    "phi3-own-kv-heads": ("phi3", {"num_key_value_heads": 4}),
    "gpt2-untied": ("gpt2", {"tie_word_embeddings": False}),
    "gpt2-default-inner": ("gpt2", {"n_inner": None}),
    "gpt-neox-no-bias": ("gpt_neox", {"attention_bias": False}),
    "gpt-neox-tied": ("gpt_neox", {"tie_word_embeddings": True}),
}


@dataclass(frozen=True)
class Extracted:
    """A pair on disk and in memory, and the vector made from it."""

    aligned: Any
    degraded: Any
    degraded_dir: Path
    vector: SafetyVector


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request, tmp_path_factory):
    family, changes = request.param
    place = tmp_path_factory.mktemp(family)
    pair = save_pair(place, family, rank=RANK, sharded=True, **changes)
    vector = extract_safety_vector(
        Checkpoint.open(pair.aligned_dir),
        Checkpoint.open(pair.degraded_dir),
        rank=RANK,
    )
    return Extracted(pair.aligned, pair.degraded, pair.degraded_dir, vector)


def test_every_supported_family_is_a_case():
    assert set(ALL_FAMILIES) == set(supported_types())


def test_extraction_gives_back_the_known_difference_of_every_module(case):
    assert list(case.vector.factors) == list(linear_paths(case.aligned))
    for path, factors in case.vector.factors.items():
        module = case.aligned.get_submodule(path)
        difference = module.weight - case.degraded.get_submodule(path).weight
        if isinstance(module, Conv1D):
            difference = difference.T
        assert torch.allclose(factors.delta(), difference, atol=1e-5), path


def test_every_way_of_applying_turns_the_degraded_model_into_the_aligned(
    case, tmp_path
):
    ids = random_ids(case.aligned)
    wanted, before = logits_of(case.aligned, ids), logits_of(case.degraded, ids)
    merge_checkpoint(
        Checkpoint.open(case.degraded_dir), case.vector, tmp_path / "merged"
    )

    with attach(case.degraded, case.vector):
        attached = logits_of(case.degraded, ids)
    undo = merge_into(case.degraded, case.vector)
    merged = logits_of(case.degraded, ids)
    undo.undo()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")

    assert (wanted - before).abs().max() > FAR
    assert torch.allclose(attached, wanted, atol=SAME)
    assert torch.allclose(merged, wanted, atol=SAME)
    assert torch.allclose(logits_of(loaded, ids), wanted, atol=SAME)


def test_taking_it_off_and_coefficient_zero_leave_every_bit(case):
    ids = random_ids(case.degraded)
    before, weights = logits_of(case.degraded, ids), weight_bytes(case.degraded)
    nothing = dict.fromkeys(case.vector.layers, 0.0)

    with attach(case.degraded, case.vector, nothing) as attachment:
        assert torch.equal(logits_of(case.degraded, ids), before)
        attachment.set_coefficients(None)
        assert not torch.equal(logits_of(case.degraded, ids), before)
    assert torch.equal(logits_of(case.degraded, ids), before)

    merge_into(case.degraded, case.vector, nothing)
    assert weight_bytes(case.degraded) == weights
    undo = merge_into(case.degraded, case.vector)
    assert weight_bytes(case.degraded) != weights
    undo.undo()
    assert weight_bytes(case.degraded) == weights


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_half_precision_targets_are_repaired_within_their_rounding(
    family, dtype, tmp_path
):
    model = tiny_model(family, dtype=dtype)
    vector = random_vector(tiny_model(family))
    ids = random_ids(model)
    source = save_checkpoint(model, tmp_path / "source", sharded=True)
    exact = tiny_model(family, dtype=dtype).float()
    merge_into(exact, vector)
    before, weights = logits_of(model, ids), weight_bytes(model)

    with attach(model, vector):
        attached = logits_of(model, ids)
    merge_checkpoint(Checkpoint.open(source), vector, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=dtype)
    undo = merge_into(model, vector)

    wanted = logits_of(exact, ids)
    change = (wanted - before.float()).norm()
    for found in (attached, logits_of(model, ids), logits_of(loaded, ids)):
        assert found.dtype == dtype
        assert (found.float() - wanted).norm() < HALF[dtype] * change
    assert weight_bytes(loaded) == weight_bytes(model)
    undo.undo()
    assert weight_bytes(model) == weights


def test_language_part_of_a_larger_model_is_saved_alone_as_the_guide_says(tmp_path):
    text = tiny_config("gemma3_text").to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = AutoModelForImageTextToText.from_config(config).eval()
    whole.save_pretrained(tmp_path / "whole")
    ids = random_ids(tiny_model("gemma3_text"))

    with pytest.raises(UnsupportedFamilyError, match="save that part alone"):
        _ = Checkpoint.open(tmp_path / "whole").architecture
    part = AutoModelForCausalLM.from_config(whole.config.text_config, dtype=whole.dtype)
    part.model.load_state_dict(whole.model.language_model.state_dict())
    part.save_pretrained(tmp_path / "part")

    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "part").eval()
    assert torch.allclose(logits_of(alone, ids), logits_of(whole, ids), atol=SAME)
    vector = random_vector(alone)
    merge_checkpoint(Checkpoint.open(tmp_path / "part"), vector, tmp_path / "out")


coefficients = st.dictionaries(
    st.integers(0, 1), st.floats(0, 2, allow_subnormal=False), max_size=2
)


@settings(max_examples=25, deadline=None)
@given(
    family=st.sampled_from(ALL_FAMILIES),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    by_layer=coefficients,
)
def test_law_what_was_applied_can_be_taken_off_bit_for_bit(family, dtype, by_layer):
    model = tiny_model(family, dtype=dtype)
    vector = random_vector(model)
    ids = random_ids(model)
    before, weights = logits_of(model, ids), weight_bytes(model)
    # A change that a dtype's rounding swallows whole is an error, not a case.
    by_layer = {layer: value for layer, value in by_layer.items() if value > 1e-2}

    with attach(model, vector, by_layer) as attachment:
        applied = logits_of(model, ids)
        attachment.set_coefficients(dict.fromkeys(by_layer, 0.0))
        assert torch.equal(logits_of(model, ids), before)
    assert torch.equal(applied, before) == (not by_layer)
    assert torch.equal(logits_of(model, ids), before)

    undo = merge_into(model, vector, by_layer)
    assert (weight_bytes(model) == weights) == (not by_layer)
    undo.undo()
    assert weight_bytes(model) == weights


@settings(max_examples=25, deadline=None)
@given(family=st.sampled_from(ALL_FAMILIES), by_layer=coefficients)
def test_law_attached_acts_like_merged(family, by_layer):
    model = tiny_model(family)
    vector = random_vector(model)
    ids = random_ids(model)
    by_layer = {layer: value for layer, value in by_layer.items() if value > 1e-2}

    with attach(model, vector, by_layer):
        attached = logits_of(model, ids)
    merge_into(model, vector, by_layer)

    assert torch.allclose(attached, logits_of(model, ids), atol=SAME)
