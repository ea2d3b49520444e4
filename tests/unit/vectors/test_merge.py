"""Merging in memory with a way back, and file to file."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.models import (
    FAMILIES,
    linear_paths,
    logits_of,
    random_ids,
    random_vector,
    save_checkpoint,
    tiny_model,
    tiny_tokenizer,
    weight_bytes,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

from safegene.errors import (
    CompatibilityError,
    LocalStorageError,
    NonFiniteTensorError,
    ShapeMismatchError,
    UsageError,
)
from safegene.vectors.attach import attach
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.merge import merge_checkpoint, merge_into

SAME = 1e-4
"""Absolute, on logits of order one: float32 sums in another order."""

UP_PROJ = "model.layers.0.mlp.up_proj"


def _huge(vector, path=UP_PROJ):
    """The vector with one factor whose product float32 and float16 cannot hold."""
    factors = vector.factors[path]
    huge = LowRankFactors(factors.a_RI * 1e20, factors.b_OR * 1e20)
    return replace(vector, factors={**vector.factors, path: huge})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_merge_adds_in_float32_and_undo_gives_back_every_bit(family, dtype):
    model = tiny_model(family, dtype=dtype)
    vector = random_vector(model)
    before = weight_bytes(model)
    originals = {
        path: model.get_submodule(path).weight.detach().clone()
        for path in linear_paths(model)
    }

    undo = merge_into(model, vector, {0: 0.5, 1: -0.25}, allow_negative=True)

    for path, original in originals.items():
        coefficient = 0.5 if ".0." in path else -0.25
        wide = original.float() + vector.factors[path].scaled(coefficient).delta()
        assert torch.equal(model.get_submodule(path).weight, wide.to(dtype))
    undo.undo()
    assert weight_bytes(model) == before


def test_second_undo_does_nothing():
    model = tiny_model()
    undo = merge_into(model, random_vector(model))
    undo.undo()
    with torch.no_grad():
        model.get_submodule(UP_PROJ).weight.zero_()

    undo.undo()

    assert torch.count_nonzero(model.get_submodule(UP_PROJ).weight) == 0


def test_zero_coefficients_touch_nothing():
    model = tiny_model()
    before = weight_bytes(model)

    merge_into(model, random_vector(model), {})

    assert weight_bytes(model) == before


def test_negative_coefficients_are_refused_unless_asked_for(tmp_path):
    model = tiny_model()
    vector = random_vector(model)
    source = Checkpoint.open(save_checkpoint(model, tmp_path / "source"))
    before = weight_bytes(model)

    with pytest.raises(UsageError, match=r"layer 1: .* got -0\.5"):
        merge_into(model, vector, {1: -0.5})
    with pytest.raises(UsageError, match=r"layer 1: .* got -0\.5"):
        merge_checkpoint(source, vector, tmp_path / "out", coefficients={1: -0.5})

    assert weight_bytes(model) == before
    assert not (tmp_path / "out").exists()
    negated = {"coefficients": {1: -0.5}, "allow_negative": True}
    merge_checkpoint(source, vector, tmp_path / "out", **negated)
    merge_into(model, vector, **negated)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    for name, weight in stored.items():
        assert torch.equal(model.get_parameter(name), weight)


def test_merge_that_overflows_leaves_the_model_as_it_was():
    model = tiny_model()
    before = weight_bytes(model)
    vector = _huge(random_vector(model))

    with pytest.raises(NonFiniteTensorError, match=UP_PROJ) as caught:
        merge_into(model, vector)

    assert caught.value.module == UP_PROJ
    assert weight_bytes(model) == before


def test_quantised_weights_are_refused_with_advice():
    model = tiny_model()
    layer = model.get_submodule(UP_PROJ)
    layer.weight = torch.nn.Parameter(
        torch.zeros(48, 32, dtype=torch.int8), requires_grad=False
    )

    with pytest.raises(CompatibilityError, match=r"quantised .* attach the vector"):
        merge_into(model, random_vector(tiny_model()))


def test_model_of_another_structure_is_not_merged_into():
    model = tiny_model(num_hidden_layers=3)
    before = weight_bytes(model)

    with pytest.raises(CompatibilityError, match="layers"):
        merge_into(model, random_vector(tiny_model()))

    assert weight_bytes(model) == before


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_merged_files_load_and_act_like_the_attached_vector(tmp_path, family, sharded):
    model = tiny_model(family)
    vector = random_vector(model)
    ids = random_ids(model)
    source = save_checkpoint(
        model, tmp_path / "source", tokenizer=tiny_tokenizer(), sharded=sharded
    )
    with attach(model, vector, {0: 0.5, 1: 1.5}):
        wanted = logits_of(model, ids)

    out = tmp_path / "merged"
    merge_checkpoint(
        Checkpoint.open(source), vector, out, coefficients={0: 0.5, 1: 1.5}
    )

    merged = AutoModelForCausalLM.from_pretrained(out)
    assert torch.allclose(logits_of(merged, ids), wanted, atol=SAME)
    assert AutoTokenizer.from_pretrained(out).chat_template is not None
    assert {path.name for path in out.iterdir()} == {
        path.name for path in source.iterdir()
    }


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_merged_files_equal_merging_in_memory_bit_for_bit(tmp_path, dtype):
    model = tiny_model(dtype=dtype)
    vector = random_vector(model)
    source = save_checkpoint(model, tmp_path / "source", sharded=True)

    merge_checkpoint(Checkpoint.open(source), vector, tmp_path / "merged")

    merge_into(model, vector)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=dtype)
    assert weight_bytes(merged) == weight_bytes(model)


def test_only_touched_tensors_change_and_untouched_shards_keep_their_bytes(tmp_path):
    model = tiny_model()
    vector = random_vector(model, leaf_names=["up_proj"])
    source = save_checkpoint(model, tmp_path / "source", sharded=True)
    out = tmp_path / "merged"

    merge_checkpoint(Checkpoint.open(source), vector, out, coefficients={1: 1.0})

    changed, equal = [], 0
    for shard in sorted(source.glob("*.safetensors")):
        before, after = load_file(shard), load_file(out / shard.name)
        moved = [name for name in before if not torch.equal(before[name], after[name])]
        changed += moved
        equal += not moved and shard.read_bytes() == (out / shard.name).read_bytes()
    assert changed == ["model.layers.1.mlp.up_proj.weight"]
    assert equal == 4


def test_source_keeps_every_byte(tmp_path):
    model = tiny_model()
    source = save_checkpoint(model, tmp_path / "source", tokenizer=tiny_tokenizer())
    before = {path.name: path.read_bytes() for path in source.iterdir()}

    merge_checkpoint(Checkpoint.open(source), random_vector(model), tmp_path / "out")

    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_other_weight_formats_and_hidden_files_are_left_behind(tmp_path):
    model = tiny_model()
    source = save_checkpoint(model, tmp_path / "source")
    for name in (
        "pytorch_model.bin",
        "model.gguf",
        ".gitattributes",
        "stray.safetensors",
    ):
        (source / name).write_bytes(b"x")
    (source / "vocab.txt").write_text("kept")

    merge_checkpoint(Checkpoint.open(source), random_vector(model), tmp_path / "out")

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "vocab.txt",
    ]


def test_progress_counts_the_shards(tmp_path):
    model = tiny_model()
    source = save_checkpoint(model, tmp_path / "source", sharded=True)
    seen = []

    merge_checkpoint(
        Checkpoint.open(source),
        random_vector(model),
        tmp_path / "out",
        progress=lambda done, total: seen.append((done, total)),
    )

    assert seen == [(done, 5) for done in range(1, 6)]


def test_place_that_holds_files_is_refused_and_kept(tmp_path):
    model = tiny_model()
    source = save_checkpoint(model, tmp_path / "source")
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")

    with pytest.raises(UsageError, match="exists already"):
        merge_checkpoint(Checkpoint.open(source), random_vector(model), out)

    assert [path.name for path in out.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(KeyboardInterrupt(), KeyboardInterrupt, id="ctrl-c"),
        pytest.param(OSError(28, "disk is full"), LocalStorageError, id="full-disk"),
    ],
)
def test_interrupted_merge_leaves_nothing_behind(tmp_path, error, expected):
    model = tiny_model()
    source = save_checkpoint(model, tmp_path / "source", sharded=True)

    def interrupt(done, total):
        if done == 2:
            raise error

    with pytest.raises(expected):
        merge_checkpoint(
            Checkpoint.open(source),
            random_vector(model),
            tmp_path / "out",
            progress=interrupt,
        )

    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_file_of_the_source_that_cannot_be_read_is_named(tmp_path):
    model = tiny_model()
    source = save_checkpoint(model, tmp_path / "source", sharded=True)
    opened = Checkpoint.open(source)
    # Gone between opening and copying, as on a disk that others use.
    gone = opened.weight_files[-1]

    with pytest.raises(LocalStorageError) as caught:
        merge_checkpoint(
            opened,
            random_vector(model),
            tmp_path / "out",
            progress=lambda done, total: gone.unlink(missing_ok=True),
        )

    assert caught.value.detail.startswith(f"{gone}: No such file")
    assert "see to that file" in caught.value.detail
    assert not (tmp_path / "out").exists()


def test_merge_that_overflows_leaves_nothing_behind(tmp_path):
    model = tiny_model(dtype=torch.float16)
    source = save_checkpoint(model, tmp_path / "source")

    with pytest.raises(NonFiniteTensorError, match=UP_PROJ):
        merge_checkpoint(
            Checkpoint.open(source), _huge(random_vector(model)), tmp_path / "out"
        )

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        pytest.param("llama", {"num_hidden_layers": 3}, "layers", id="deeper"),
        pytest.param("gpt_neox", {}, "model_type", id="another-family"),
    ],
)
def test_checkpoint_of_another_structure_is_refused(tmp_path, family, changes, message):
    source = save_checkpoint(tiny_model(family, **changes), tmp_path / "source")

    with pytest.raises(CompatibilityError, match=message):
        merge_checkpoint(
            Checkpoint.open(source), random_vector(tiny_model()), tmp_path / "out"
        )

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        pytest.param(None, CompatibilityError, "no such weight", id="missing"),
        pytest.param(
            torch.zeros(48, 32, dtype=torch.int8),
            CompatibilityError,
            r"quantised \(I8\)",
            id="quantised",
        ),
        pytest.param(torch.zeros(48, 30), ShapeMismatchError, "expected", id="shape"),
    ],
)
def test_weight_that_cannot_be_merged_into_is_named(tmp_path, weight, error, message):
    model = tiny_model()
    source = save_checkpoint(model, tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    name = f"{UP_PROJ}.weight"
    if weight is None:
        del tensors[name]
    else:
        tensors[name] = weight
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(error, match=message) as caught:
        merge_checkpoint(
            Checkpoint.open(source), random_vector(model), tmp_path / "out"
        )

    assert name in str(caught.value)
    if error is CompatibilityError:
        assert "safegene apply" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_index_of_a_sharded_model_still_tells_the_truth(tmp_path):
    model = tiny_model()
    source = save_checkpoint(model, tmp_path / "source", sharded=True)
    out = tmp_path / "out"

    merge_checkpoint(Checkpoint.open(source), random_vector(model), out)

    index = json.loads((out / "model.safetensors.index.json").read_text())
    for name, shard in index["weight_map"].items():
        assert name in load_file(out / shard)
