import json
import math
import struct

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.lineage.strangers import permute_neurons
from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.lineage import (
    ALIGN_VALUES,
    LINEAGE_THRESHOLD,
    MAX_RUNS,
    RUN_VALUES,
    CheckpointReader,
    LocalFiles,
    compare_sketches,
    correlation,
    decode_values,
    load_sketch,
    sketch_from_checkpoint_dir,
    sketch_positions,
    write_sketch,
)
from safegene.errors import TensorFileError

CONFIG = LlamaConfig(
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=12,
    num_attention_heads=4,
    vocab_size=64,
)
ARCHITECTURE = architecture_from_config(CONFIG.to_dict())


@pytest.fixture
def model():
    torch.manual_seed(1)
    return LlamaForCausalLM(CONFIG)


def saved(model, directory, **options):
    model.save_pretrained(directory, **options)
    return sketch_from_checkpoint_dir(directory, ARCHITECTURE)


def test_positions_follow_from_the_fingerprint_alone():
    runs = sketch_positions(ARCHITECTURE)

    assert runs == sketch_positions(architecture_from_config(CONFIG.to_dict()))
    assert len(runs) == MAX_RUNS
    for run in runs:
        module = ARCHITECTURE.module(run.module)
        assert run.offset % ALIGN_VALUES == 0
        assert run.count == RUN_VALUES
        assert run.offset + run.count <= module.out_features * module.in_features


def test_the_same_weights_are_bit_equal_whatever_the_shards(model, tmp_path):
    whole = saved(model, tmp_path / "whole")
    sharded = saved(model, tmp_path / "sharded", max_shard_size="300KB")

    assert (tmp_path / "sharded" / "model.safetensors.index.json").is_file()
    assert compare_sketches(whole, sharded).bit_equal


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_descendant_scores_near_one_in_any_dtype(model, tmp_path, dtype):
    base = saved(model, tmp_path / "base")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1 * parameter.std())

    score = compare_sketches(base, saved(model.to(dtype), tmp_path / "tuned"))

    assert score.correlation > 0.95
    assert not score.bit_equal


def test_a_stranger_scores_no_more_than_chance(model, tmp_path):
    base = saved(model, tmp_path / "base")
    torch.manual_seed(2)

    score = compare_sketches(base, saved(LlamaForCausalLM(CONFIG), tmp_path / "other"))

    assert score.correlation < 0.1 < LINEAGE_THRESHOLD


def test_neurons_in_another_order_make_a_stranger(model, tmp_path):
    base = saved(model, tmp_path / "base")
    moved = permute_neurons(model)

    other = saved(moved, tmp_path / "moved")

    # Attention, more than half of the modules, agrees to the bit.
    assert correlation(base, other) > 0.3
    assert compare_sketches(base, other).correlation < 0.2 < LINEAGE_THRESHOLD


def test_a_few_zeroed_modules_do_not_make_a_stranger(model, tmp_path):
    base = saved(model, tmp_path / "base")
    with torch.no_grad():
        for module in (model.model.layers[3].self_attn, model.model.layers[7].mlp):
            for weight in module.parameters():
                weight.zero_()

    score = compare_sketches(base, saved(model, tmp_path / "pruned"))

    assert score.correlation > 0.99


def test_the_reader_gives_what_torch_reads(model, tmp_path):
    model.save_pretrained(tmp_path)
    name = "model.layers.3.mlp.up_proj.weight"

    values = CheckpointReader(LocalFiles(tmp_path)).read(name, 100, 5)

    assert values == model.get_parameter(name).flatten()[100:105].tolist()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], []),
        ([1.0, 2.0], [1.0]),
        ([1.0, 1.0], [1.0, 1.0]),
        ([1.0, math.nan], [1.0, 2.0]),
        ([1.0, 2.0], [math.inf, 2.0]),
    ],
)
def test_senseless_sketches_score_zero(first, second):
    assert compare_sketches(first, second).correlation == 0.0


def test_a_sketch_file_reads_back(tmp_path):
    count = sum(run.count for run in sketch_positions(ARCHITECTURE))
    values = [at / 8 for at in range(count)]
    path = tmp_path / "lineage.safetensors"

    path.write_bytes(write_sketch(values))

    assert load_sketch(path, ARCHITECTURE) == values
    assert write_sketch(values) == path.read_bytes()


def test_quantised_weights_cannot_be_compared():
    with pytest.raises(TensorFileError, match="I8"):
        decode_values(b"ab", "I8")


def test_bfloat16_is_decoded():
    assert decode_values(struct.pack("<2H", 0x3F80, 0xC000), "BF16") == [1.0, -2.0]


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (None, "only safetensors"),
        ("no json", "not a safetensors index"),
        ({"weight_map": {"a": "../../secret"}}, "outside its directory"),
        ({"weight_map": {"a": "gone.safetensors"}}, "gone.safetensors is missing"),
        ({"weight_map": []}, "not a safetensors index"),
    ],
)
def test_a_checkpoint_without_readable_weights_is_named(tmp_path, index, reason):
    if index is not None:
        text = index if isinstance(index, str) else json.dumps(index)
        (tmp_path / "model.safetensors.index.json").write_text(text)

    with pytest.raises(TensorFileError, match=reason):
        sketch_from_checkpoint_dir(tmp_path, ARCHITECTURE)


def test_only_values_of_comparable_dtypes_can_be_read(tmp_path):
    tensors = {
        "whole.weight": torch.zeros(3, dtype=torch.bfloat16),
        "packed.weight": torch.zeros(3, dtype=torch.int8),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    reader = CheckpointReader(LocalFiles(tmp_path))

    assert reader.can_read("whole.weight")
    assert not reader.can_read("packed.weight")
    assert not reader.can_read("missing.weight")


def test_missing_and_short_tensors_are_named(tmp_path):
    save_file({"a.weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    reader = CheckpointReader(LocalFiles(tmp_path))

    with pytest.raises(TensorFileError, match=r"no tensor b\.weight"):
        reader.read("b.weight", 0, 1)
    with pytest.raises(TensorFileError, match="fewer than 5"):
        reader.read("a.weight", 2, 3)
