"""Extracting some layers again: what is kept keeps its bytes, misfits are refused."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.models import (
    changed,
    random_vector,
    save_checkpoint,
    save_pair,
    tiny_model,
)

from safegene.artifact.bundle import verify_directory
from safegene.artifact.manifest import TENSORS_NAME
from safegene.artifact.segments import changed_ranges
from safegene.errors import ArtifactError, CompatibilityError, RankError, UsageError
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.extract import extract_safety_vector
from safegene.vectors.peft_format import load_vector, save_vector
from safegene.vectors.update import load_previous, update_safety_vector

BASE = "acme/base"
LAYERS = 4


def _save(vector, directory, version):
    return save_vector(
        vector, directory, namespace="acme", name="guard", version=version
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A pair, the version made of it, and a later state of the aligned model."""
    root = tmp_path_factory.mktemp("update")
    pair = save_pair(root, rank=None, num_hidden_layers=LAYERS)
    vector = extract_safety_vector(
        Checkpoint.open(root / "aligned", model_id=BASE),
        Checkpoint.open(root / "degraded"),
        rank=5,
    )
    _save(vector, root / "v1", "1.0.0")
    save_checkpoint(changed(pair.aligned, scale=0.02, seed=9), root / "later")
    return root


@pytest.fixture
def later(place):
    """The new pair."""
    return (
        Checkpoint.open(place / "later", model_id=BASE),
        Checkpoint.open(place / "degraded"),
    )


def _segments(manifest):
    return {entry.layers: entry for entry in manifest.file(TENSORS_NAME).segments}


def test_untouched_layers_keep_their_bytes_and_the_others_are_extracted_again(
    place, later, tmp_path
):
    previous = load_previous(place / "v1")

    vector = update_safety_vector(previous, *later, layers=[1, 3])
    new = _save(vector, tmp_path / "v2", "1.0.1")

    old = verify_directory(place / "v1")
    same = {
        layers
        for layers, segment in _segments(new).items()
        if segment.digest == _segments(old)[layers].digest
    }
    assert same == {(), (0,), (2,)}
    ranges = changed_ranges(
        old.file(TENSORS_NAME).segments, new.file(TENSORS_NAME).segments
    )
    moved = sum(end - start for start, end in ranges)
    assert moved == sum(_segments(new)[(layer,)].size for layer in (1, 3))
    whole = extract_safety_vector(*later, rank=5)
    loaded = load_vector(tmp_path / "v2")
    for path, factors in loaded.factors.items():
        layer = loaded.layer_of(path)
        wanted = (whole if layer in (1, 3) else previous).factors[path]
        assert torch.equal(factors.a_RI, wanted.padded(8).a_RI)
        assert torch.equal(factors.b_OR, wanted.padded(8).b_OR)


def test_recipe_names_the_previous_version_and_the_layers(place, later):
    previous = load_previous(place / "v1")

    vector = update_safety_vector(previous, *later, layers=[3, 1], seed=4)

    parameters = vector.recipe.parameters
    assert parameters["previous_version"] == previous.digest
    assert parameters["layers_extracted_again"] == "1, 3"
    by_layer = parameters["relative_error_by_layer"].split(", ")
    assert [part.split(":")[0] for part in by_layer] == ["1", "3"]
    assert (vector.recipe.rank, vector.recipe.seed) == (5, 4)
    assert vector.base_model == later[0].ref
    assert (vector.identity, vector.digest) == (None, None)


def test_an_update_can_be_updated(place, later, tmp_path):
    first = update_safety_vector(load_previous(place / "v1"), *later, layers=[1])
    _save(first, tmp_path / "v2", "1.0.1")

    second = update_safety_vector(load_previous(tmp_path / "v2"), *later, layers=[2])

    new = _save(second, tmp_path / "v3", "1.0.2")
    old = verify_directory(tmp_path / "v2")
    kept = [key for key, part in _segments(new).items() if _segments(old)[key] == part]
    assert kept == [(), (0,), (1,), (3,)]
    assert second.recipe.parameters["previous_version"] == str(old.digest)


def test_energy_is_the_previous_recipes(place, tmp_path):
    pair = [
        Checkpoint.open(place / name, model_id=BASE) for name in ("later", "degraded")
    ]
    vector = extract_safety_vector(*pair, rank=12, energy=0.5)
    _save(vector, tmp_path / "v1", "1.0.0")

    again = update_safety_vector(load_previous(tmp_path / "v1"), *pair, layers=[0])

    assert again.recipe.parameters["energy"] == "0.5"
    for path, factors in vector.factors.items():
        assert torch.equal(
            again.factors[path].delta(), factors.padded(again.rank).delta()
        )


def test_left_out_layer_comes_back_when_extracted_again(place, later, tmp_path):
    vector = load_previous(place / "v1").with_selection({0: 1.0, 1: 2.0}, (0,))
    _save(vector, tmp_path / "v1", "1.0.0")

    again = update_safety_vector(load_previous(tmp_path / "v1"), *later, layers=[1])

    assert again.layers == (0, 1)
    # The score of layer 1 was measured with factors that are gone.
    assert again.layer_scores == {0: 1.0}


def test_other_rank_is_refused(place, later):
    previous = load_previous(place / "v1")

    update_safety_vector(previous, *later, layers=[1], rank=5)
    with pytest.raises(RankError, match=r"acme/guard@1\.0\.0 has rank 5, got 6"):
        update_safety_vector(previous, *later, layers=[1], rank=6)


def test_other_structure_is_refused(place, tmp_path):
    pair = save_pair(tmp_path, num_hidden_layers=LAYERS + 1)

    with pytest.raises(CompatibilityError, match="another structure than acme/base"):
        update_safety_vector(
            load_previous(place / "v1"),
            Checkpoint.open(pair.aligned_dir, model_id=BASE),
            Checkpoint.open(pair.degraded_dir),
            layers=[1],
        )


def test_base_of_another_name_is_refused(place):
    pair = [Checkpoint.open(place / name) for name in ("aligned", "degraded")]

    with pytest.raises(CompatibilityError, match="base model acme/base, got aligned"):
        update_safety_vector(load_previous(place / "v1"), *pair, layers=[1])


def test_stranger_of_the_same_name_is_refused(place, tmp_path):
    stranger = tiny_model(num_hidden_layers=LAYERS, seed=50)
    save_checkpoint(stranger, tmp_path / "aligned")
    save_checkpoint(changed(stranger), tmp_path / "degraded")

    with pytest.raises(CompatibilityError, match="is a stranger to it"):
        update_safety_vector(
            load_previous(place / "v1"),
            Checkpoint.open(tmp_path / "aligned", model_id=BASE),
            Checkpoint.open(tmp_path / "degraded"),
            layers=[1],
        )


def test_layers_that_are_not_there_are_refused(place, later):
    previous = load_previous(place / "v1")

    with pytest.raises(UsageError, match="no layer 4: the model has layers 0 to 3"):
        update_safety_vector(previous, *later, layers=[4])
    with pytest.raises(UsageError, match="no module is left to take"):
        update_safety_vector(previous, *later, layers=[])


def test_vector_of_another_origin_is_refused(place, later):
    previous = load_previous(place / "v1")
    unsaved = random_vector(tiny_model(num_hidden_layers=LAYERS))

    with pytest.raises(UsageError, match="has no digest: save it first"):
        update_safety_vector(unsaved, *later, layers=[1])
    recipe = previous.recipe.model_copy(update={"method": "distill"})
    object.__setattr__(previous, "recipe", recipe)
    with pytest.raises(UsageError, match="was made by 'distill'"):
        update_safety_vector(previous, *later, layers=[1])


def test_damaged_previous_version_is_refused(place, tmp_path):
    shutil.copytree(place / "v1", tmp_path / "v1")
    path = tmp_path / "v1" / TENSORS_NAME
    tensors = {key: tensor + 1 for key, tensor in load_file(path).items()}
    save_file(tensors, path)

    with pytest.raises(ArtifactError):
        load_previous(tmp_path / "v1")
