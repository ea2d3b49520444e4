"""Extraction: what comes out, what is recorded, which pairs are refused."""

import pytest
import torch
from support.models import (
    ALL_FAMILIES,
    changed,
    linear_paths,
    save_checkpoint,
    save_pair,
    tiny_model,
)

from safegene.artifact.lineage import sketch_from_checkpoint_dir
from safegene.artifact.manifest import DataEntry
from safegene.errors import (
    CompatibilityError,
    NonFiniteTensorError,
    RankError,
    ShapeMismatchError,
    UsageError,
)
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.extract import extract_safety_vector
from safegene.vectors.targets import is_transposed

EXACT = 1e-5
"""Relative: the difference of two float32 weights, and a product of rank 2."""


def _open(pair):
    return Checkpoint.open(pair.aligned_dir), Checkpoint.open(pair.degraded_dir)


def _differences(pair):
    """By module, [out, in] whatever the storage."""
    found = {}
    for path in linear_paths(pair.aligned):
        layers = [m.get_submodule(path) for m in (pair.aligned, pair.degraded)]
        difference = layers[0].weight.detach() - layers[1].weight.detach()
        found[path] = difference.T if is_transposed(layers[0]) else difference
    return found


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_low_rank_difference_is_recovered_exactly(tmp_path, family):
    pair = save_pair(tmp_path, family, rank=2)

    vector = extract_safety_vector(*_open(pair), rank=2)

    differences = _differences(pair)
    assert tuple(vector.factors) == linear_paths(pair.aligned)
    for path, factors in vector.factors.items():
        error = (factors.delta() - differences[path]).norm()
        assert error < EXACT * pair.aligned.get_submodule(path).weight.norm()


def test_sharding_and_order_of_shards_change_nothing(tmp_path):
    whole = save_pair(tmp_path / "whole", rank=None)
    sharded = save_pair(tmp_path / "sharded", rank=None, sharded=True)

    first = extract_safety_vector(*_open(whole), rank=4)
    second = extract_safety_vector(*_open(sharded), rank=4)

    assert first.sketch == second.sketch
    assert first.base_model.revision != second.base_model.revision
    for path, factors in first.factors.items():
        assert torch.equal(factors.a_RI, second.factors[path].a_RI)
        assert torch.equal(factors.b_OR, second.factors[path].b_OR)


def test_error_never_rises_with_the_rank_and_is_recorded(tmp_path):
    pair = save_pair(tmp_path, rank=None)
    differences = _differences(pair)
    total = sum(float(change.square().sum()) for change in differences.values())

    recorded = []
    for rank in (1, 4, 8, 32):
        vector = extract_safety_vector(*_open(pair), rank=rank)
        lost = sum(
            float((differences[path] - factors.delta()).square().sum())
            for path, factors in vector.factors.items()
        )
        recorded.append(float(vector.recipe.parameters["relative_error"]))
        assert recorded[-1] == pytest.approx((lost / total) ** 0.5, abs=1e-4)

    assert recorded == sorted(recorded, reverse=True)
    assert recorded[-1] < 1e-3
    by_layer = vector.recipe.parameters["relative_error_by_layer"]
    assert [part.split(":")[0] for part in by_layer.split(", ")] == ["0", "1"]


def test_recipe_says_how_the_vector_was_made(tmp_path):
    pair = save_pair(tmp_path)
    aligned, degraded = _open(pair)
    data = [DataEntry(name="safe answers", digest="sha256:" + "a" * 64, rows=350)]

    vector = extract_safety_vector(aligned, degraded, rank=3, data=data, seed=5)

    assert vector.base_model == aligned.ref
    assert vector.recipe.degraded_model == degraded.ref
    assert vector.recipe.method == "delta"
    assert (vector.recipe.rank, vector.recipe.seed) == (3, 5)
    assert vector.recipe.data == tuple(data)
    assert vector.recipe.tool.startswith("safegene/")


def test_sketch_is_the_aligned_models(tmp_path):
    pair = save_pair(tmp_path)
    aligned, degraded = _open(pair)

    vector = extract_safety_vector(aligned, degraded, rank=2)

    wanted = sketch_from_checkpoint_dir(pair.aligned_dir, aligned.architecture)
    assert list(vector.sketch) == wanted


def test_modules_and_layers_can_be_chosen(tmp_path):
    pair = save_pair(tmp_path)

    vector = extract_safety_vector(
        *_open(pair), rank=2, leaf_names=["o_proj", "down_proj"], layers=[1]
    )

    assert list(vector.factors) == [
        "model.layers.1.self_attn.o_proj",
        "model.layers.1.mlp.down_proj",
    ]
    assert vector.layers == (1,)


def test_progress_counts_every_module(tmp_path):
    pair = save_pair(tmp_path)
    seen = []

    extract_safety_vector(
        *_open(pair), rank=2, progress=lambda done, total: seen.append((done, total))
    )

    assert seen == [(done, 14) for done in range(1, 15)]


def test_half_precision_pair_is_subtracted_in_float32(tmp_path):
    pair = save_pair(tmp_path, rank=None, dtype=torch.bfloat16)

    vector = extract_safety_vector(*_open(pair), rank=32)

    for path, factors in vector.factors.items():
        wanted = (
            pair.aligned.get_submodule(path).weight.float()
            - pair.degraded.get_submodule(path).weight.float()
        )
        assert factors.a_RI.dtype == torch.float32
        assert torch.allclose(factors.delta(), wanted, atol=EXACT)


def test_module_without_a_change_gets_zeros(tmp_path):
    aligned = tiny_model()
    path = "model.layers.1.mlp.down_proj"
    degraded = changed(aligned, rank=2, paths=[path])
    save_checkpoint(aligned, tmp_path / "aligned")
    save_checkpoint(degraded, tmp_path / "degraded")

    vector = extract_safety_vector(
        Checkpoint.open(tmp_path / "aligned"), Checkpoint.open(tmp_path / "degraded")
    )

    moved = [path for path, factors in vector.factors.items() if factors.norm() > 0]
    assert moved == [path]


def test_equal_models_leave_nothing_to_extract(tmp_path):
    save_checkpoint(tiny_model(), tmp_path / "one")
    save_checkpoint(tiny_model(), tmp_path / "two")

    with pytest.raises(UsageError, match="nothing to extract: one and two"):
        extract_safety_vector(
            Checkpoint.open(tmp_path / "one"), Checkpoint.open(tmp_path / "two")
        )


def test_pair_of_two_structures_is_refused(tmp_path):
    save_checkpoint(tiny_model(), tmp_path / "two-layers")
    save_checkpoint(tiny_model(num_hidden_layers=3), tmp_path / "three-layers")

    with pytest.raises(CompatibilityError, match="not a pair: layers") as caught:
        extract_safety_vector(
            Checkpoint.open(tmp_path / "two-layers"),
            Checkpoint.open(tmp_path / "three-layers"),
        )

    assert (caught.value.reasons[0].expected, caught.value.reasons[0].actual) == (
        "2",
        "3",
    )


def test_strangers_of_one_structure_are_refused(tmp_path):
    save_checkpoint(tiny_model(seed=1), tmp_path / "one")
    save_checkpoint(tiny_model(seed=2), tmp_path / "other")

    with pytest.raises(CompatibilityError, match="strangers"):
        extract_safety_vector(
            Checkpoint.open(tmp_path / "one"), Checkpoint.open(tmp_path / "other")
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("index", [(0, 0), (-1, -1)])
def test_weight_that_is_not_finite_is_refused_by_model_and_module(
    tmp_path, value, index
):
    path = "model.layers.1.mlp.up_proj"
    aligned = tiny_model()
    degraded = changed(aligned, rank=2)
    with torch.no_grad():
        degraded.get_submodule(path).weight[index] = value
    save_checkpoint(aligned, tmp_path / "aligned")
    save_checkpoint(degraded, tmp_path / "degraded")

    with pytest.raises(NonFiniteTensorError, match=f"degraded: .*{path}") as caught:
        extract_safety_vector(
            Checkpoint.open(tmp_path / "aligned"),
            Checkpoint.open(tmp_path / "degraded"),
        )

    assert caught.value.module == path


def test_weight_that_belies_its_config_is_refused_by_module(tmp_path):
    path = "model.layers.1.mlp.up_proj"
    aligned = tiny_model()
    degraded = changed(aligned, rank=2)
    degraded.model.layers[1].mlp.up_proj = torch.nn.Linear(32, 50, bias=False)
    save_checkpoint(aligned, tmp_path / "aligned")
    save_checkpoint(degraded, tmp_path / "degraded")

    with pytest.raises(ShapeMismatchError, match=f"degraded: {path}") as caught:
        extract_safety_vector(
            Checkpoint.open(tmp_path / "aligned"),
            Checkpoint.open(tmp_path / "degraded"),
        )

    assert (caught.value.expected, caught.value.actual) == ((48, 32), (50, 32))


@pytest.mark.parametrize("rank", [0, -3, 513])
def test_rank_that_cannot_be_served_is_refused(tmp_path, rank):
    pair = save_pair(tmp_path)

    with pytest.raises(RankError, match=f"got {rank}"):
        extract_safety_vector(*_open(pair), rank=rank)


def test_unknown_module_name_and_layer_are_refused(tmp_path):
    pair = save_pair(tmp_path)

    with pytest.raises(UsageError, match="no linear module is called c_fc"):
        extract_safety_vector(*_open(pair), leaf_names=["c_fc"])
    with pytest.raises(UsageError, match="no layer 2: the model has layers 0 to 1"):
        extract_safety_vector(*_open(pair), layers=[0, 2])
    with pytest.raises(UsageError, match="no module is left to take"):
        extract_safety_vector(*_open(pair), layers=[])
