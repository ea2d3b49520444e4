"""Models in GGUF files: the structure is that of the model they were made from."""

import struct

import gguf
import numpy as np
import pytest
from safegene_client.gguf_config import (
    MISTRAL_NOTE,
    MODEL_TYPES,
    is_gguf,
    read_gguf_config,
)
from safegene_client.targets import describe_model
from support.models import tiny_config

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.family import known_families
from safegene.errors import InvalidDataError


def write_gguf(path, config, *, architecture, name="tiny", biases=(), more=()):
    """A file as llama.cpp's converters write it, with one tensor a name.

    Args:
        path: made by this function.
        config: of the model.
        architecture: what llama.cpp calls it.
        name: of the model.
        biases: tensors of the first layer.
        more: further entries.
    """
    sizes = known_families()[config["model_type"]].sizes
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_embedding_length(config[sizes["hidden"].field])
    writer.add_block_count(config[sizes["layers"].field])
    writer.add_head_count(config[sizes["heads"].field])
    if sizes["ffn"].field in config:
        writer.add_feed_forward_length(config[sizes["ffn"].field])
    if sizes["kv_heads"].field in config:
        writer.add_head_count_kv(config[sizes["kv_heads"].field])
    if sizes["head_size"].field in config:
        writer.add_key_length(config[sizes["head_size"].field])
    writer.add_token_list([f"token {n}" for n in range(500)])
    writer.add_token_scores([0.5] * 500)
    for key, value in more:
        writer.add_uint32(f"{architecture}.{key}", value)
    for tensor in ("token_embd.weight", *(f"blk.0.{bias}" for bias in biases)):
        writer.add_tensor(tensor, np.zeros(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


BIASES = {"glm4": ["attn_q.bias"], "gptneox": ["attn_qkv.bias", "ffn_up.bias"]}
"""Of families whose configs can be without, those that the tiny ones have."""


@pytest.mark.parametrize("architecture", MODEL_TYPES)
def test_the_structure_is_that_of_the_config(tmp_path, architecture):
    config = tiny_config(MODEL_TYPES[architecture]).to_dict()
    biases = BIASES.get(architecture, ())
    path = tmp_path / "m.gguf"
    write_gguf(path, config, architecture=architecture, biases=biases)

    found, _ = read_gguf_config(path)

    assert is_gguf(path)
    assert architecture_from_config(found) == architecture_from_config(config)


def test_biases_are_told_by_the_tensors(tmp_path):
    config = tiny_config("llama").to_dict()
    biases = ("attn_q.bias", "ffn_up.bias")
    path = write_gguf(tmp_path / "m", config, architecture="llama", biases=biases)

    found, _ = read_gguf_config(path)

    switched = {**config, "attention_bias": True, "mlp_bias": True}
    assert architecture_from_config(found) == architecture_from_config(switched)


def test_mistral_is_told_by_its_name_or_asked_about(tmp_path):
    config = tiny_config("llama").to_dict()
    made = {"config": config, "architecture": "llama"}

    named = write_gguf(tmp_path / "a", name="Mistral 7B", **made)
    other = write_gguf(tmp_path / "b", name="Zephyr", **made)

    assert read_gguf_config(named)[0]["model_type"] == "mistral"
    assert read_gguf_config(other)[0]["model_type"] == "llama"
    assert MISTRAL_NOTE in read_gguf_config(other)[1]


def test_what_is_not_supported_says_so(tmp_path):
    config = tiny_config("llama").to_dict()
    experts = [("expert_count", 8)]
    mixtral = write_gguf(tmp_path / "a", config, architecture="llama", more=experts)
    mamba = write_gguf(tmp_path / "b", config, architecture="mamba")

    reasons = [describe_model(path).known.reasons[0].code for path in (mixtral, mamba)]

    assert reasons == ["unsupported-experts", "unknown-architecture"]


def test_the_verdict_says_that_weights_in_gguf_are_not_compared(tmp_path):
    config = tiny_config("llama").to_dict()
    path = write_gguf(tmp_path / "m.gguf", config, architecture="llama")

    verdict = describe_model(path).verdict(architecture_from_config(config), [0.5])

    assert verdict.level == "structural"
    assert "in a GGUF file" in verdict.reasons[0].detail
    assert any("less than a config.json" in note for note in verdict.notes)


def cut(data):
    return data[: len(data) // 3]


def with_version(data):
    return data[:4] + struct.pack("<I", 1) + data[8:]


def with_many(data):
    return data[:8] + struct.pack("<Q", 1 << 40) + data[16:]


def with_long_key(data):
    return data[:24] + struct.pack("<Q", 1 << 60) + data[32:]


@pytest.mark.parametrize("damage", [cut, with_version, with_many, with_long_key])
def test_a_damaged_file_is_told_as_such(tmp_path, damage):
    path = write_gguf(
        tmp_path / "m", tiny_config("llama").to_dict(), architecture="llama"
    )
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(InvalidDataError, match=r"a GGUF file: .*; download"):
        describe_model(path)
