"""Reading checkpoints: shards, names, identity, and what is wrong with bad ones."""

import json
import shutil

import pytest
import torch
from support.models import save_checkpoint, tiny_config, tiny_model

from safegene.errors import (
    InvalidDataError,
    TensorFileError,
    TransportError,
    UnsupportedFamilyError,
    UsageError,
)
from safegene.vectors.checkpoint import Checkpoint


@pytest.mark.parametrize("sharded", [False, True])
def test_every_tensor_is_read_as_stored(tmp_path, sharded):
    model = tiny_model(dtype=torch.bfloat16)

    checkpoint = Checkpoint.open(save_checkpoint(model, tmp_path, sharded=sharded))

    assert len(checkpoint.weight_files) == (3 if sharded else 1)
    wanted = model.state_dict()
    assert set(checkpoint.names()) == set(wanted)
    for name in checkpoint.names():
        assert checkpoint.read(name).dtype == torch.bfloat16
        assert torch.equal(checkpoint.read(name), wanted[name])


def test_config_and_architecture_are_the_models(tmp_path):
    model = tiny_model("qwen2")

    checkpoint = Checkpoint.open(save_checkpoint(model, tmp_path))

    assert checkpoint.config["model_type"] == "qwen2"
    assert checkpoint.architecture.layers == 2
    assert checkpoint.directory == tmp_path


def test_tied_embeddings_need_no_head_tensor(tmp_path):
    model = tiny_model(tie_word_embeddings=True)

    checkpoint = Checkpoint.open(save_checkpoint(model, tmp_path))

    assert "lm_head.weight" not in checkpoint.names()
    assert len(checkpoint.architecture.modules) == 14


def test_directory_is_known_by_its_name_and_the_digest_of_its_weights(tmp_path):
    first = save_checkpoint(tiny_model(), tmp_path / "one")
    second = save_checkpoint(tiny_model(seed=2), tmp_path / "two")
    copy = shutil.copytree(first, tmp_path / "copy")

    references = [Checkpoint.open(path).ref for path in (first, second, copy)]

    assert [reference.id for reference in references] == ["one", "two", "copy"]
    assert references[0].revision.startswith("sha256:")
    assert references[0].revision == references[2].revision
    assert references[0].revision != references[1].revision


def test_model_id_can_be_given(tmp_path):
    save_checkpoint(tiny_model(), tmp_path)

    assert Checkpoint.open(tmp_path, model_id="org/model").ref.id == "org/model"


def test_model_id_that_no_manifest_can_hold_is_refused_at_once(tmp_path):
    save_checkpoint(tiny_model(), tmp_path)

    with pytest.raises(UsageError, match="the base model's name: expected 1 to 256"):
        Checkpoint.open(tmp_path, model_id="m" * 257)


def test_directory_whose_name_no_manifest_can_hold_has_no_reference(tmp_path):
    save_checkpoint(tiny_model(), tmp_path / "two\nlines")
    checkpoint = Checkpoint.open(tmp_path / "two\nlines")

    with pytest.raises(UsageError, match="the model's name: expected 1 to 256"):
        _ = checkpoint.ref


def test_hub_snapshot_is_known_by_its_id_and_commit(tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    hub = tmp_path / "models--org--tiny"
    save_checkpoint(tiny_model(), hub / "snapshots" / commit)
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    checkpoint = Checkpoint.open("org/tiny")

    assert checkpoint.ref.id == "org/tiny"
    assert checkpoint.ref.revision == commit


def test_hub_that_cannot_be_asked_is_a_transport_error(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(TransportError, match=r"org/unheard-of: .*could not be asked"):
        Checkpoint.open("org/unheard-of")


@pytest.mark.parametrize("source", ["./missing", "/missing/model", "missing"])
def test_missing_directory_is_never_looked_for_on_the_hub(source):
    with pytest.raises(UsageError, match=f"no model at {source}: expected a directory"):
        Checkpoint.open(source)


def test_malformed_hub_id_is_refused():
    with pytest.raises(UsageError, match="no model at a/b/c"):
        Checkpoint.open("a/b/c")


def test_revision_of_a_directory_is_refused(tmp_path):
    save_checkpoint(tiny_model(), tmp_path)

    with pytest.raises(UsageError, match="has no revision main"):
        Checkpoint.open(tmp_path, revision="main")


def test_unknown_tensor_is_named(tmp_path):
    checkpoint = Checkpoint.open(save_checkpoint(tiny_model(), tmp_path))

    with pytest.raises(TensorFileError, match=r"no tensor model\.layers\.7"):
        checkpoint.read("model.layers.7.mlp.up_proj.weight")


def test_weights_damaged_after_opening_are_an_error_when_read(tmp_path):
    checkpoint = Checkpoint.open(save_checkpoint(tiny_model(), tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"short")

    with pytest.raises(TensorFileError, match=r"cannot read model\.norm"):
        checkpoint.read("model.norm.weight")


def test_unknown_family_is_an_error_only_when_the_architecture_is_asked_for(tmp_path):
    save_checkpoint(tiny_model(), tmp_path)
    config = tiny_config().to_dict() | {"model_type": "mamba"}
    (tmp_path / "config.json").write_text(json.dumps(config))

    checkpoint = Checkpoint.open(tmp_path)

    with pytest.raises(UnsupportedFamilyError, match="mamba"):
        _ = checkpoint.architecture


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "is not a model: it has no config.json", id="missing"),
        pytest.param("{", "not JSON", id="broken"),
        pytest.param("[1]", "expected an object, got list", id="not-an-object"),
    ],
)
def test_unusable_config_is_refused(tmp_path, content, message):
    save_checkpoint(tiny_model(), tmp_path)
    (tmp_path / "config.json").unlink()
    if content is not None:
        (tmp_path / "config.json").write_text(content)

    with pytest.raises(InvalidDataError, match=message):
        Checkpoint.open(tmp_path)


def test_truncated_weights_are_refused(tmp_path):
    save_checkpoint(tiny_model(), tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(TensorFileError, match=r"model\.safetensors: not a whole"):
        Checkpoint.open(tmp_path)


def test_missing_shard_is_named(tmp_path):
    save_checkpoint(tiny_model(), tmp_path, sharded=True)
    (tmp_path / "model-00002-of-00005.safetensors").unlink()

    with pytest.raises(TensorFileError, match="model-00002"):
        Checkpoint.open(tmp_path)


def test_weights_that_are_not_safetensors_are_refused_with_advice(tmp_path):
    save_checkpoint(tiny_model(), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")

    with pytest.raises(TensorFileError, match="convert the weights to safetensors"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        pytest.param("{}", "not a safetensors index", id="no-map"),
        pytest.param("nonsense", "not a safetensors index", id="not-json"),
        pytest.param(
            '{"weight_map": {"a": "../model.safetensors"}}',
            "outside its directory",
            id="escapes",
        ),
    ],
)
def test_bad_shard_index_is_refused(tmp_path, index, message):
    save_checkpoint(tiny_model(), tmp_path, sharded=True)
    (tmp_path / "model.safetensors.index.json").write_text(index)

    with pytest.raises(TensorFileError, match=message):
        Checkpoint.open(tmp_path)
