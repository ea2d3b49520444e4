"""What counts as a model, and how its lineage is read."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safegene_client.targets import describe_model
from safetensors.torch import load_file, save_file
from support.models import changed, save_checkpoint, tiny_config, tiny_model

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.compatibility import Level, require
from safegene.artifact.lineage import sketch_from_checkpoint_dir
from safegene.errors import (
    CompatibilityError,
    InvalidDataError,
    TensorFileError,
    UsageError,
)


@pytest.fixture(scope="module")
def directory(base, tmp_path_factory):
    return save_checkpoint(base, tmp_path_factory.mktemp("base"), sharded=True)


@pytest.fixture(scope="module")
def architecture(base):
    return architecture_from_config(base.config.to_dict())


@pytest.fixture(scope="module")
def sketch(directory, architecture):
    return sketch_from_checkpoint_dir(directory, architecture)


def level_of(model, architecture, sketch):
    return describe_model(model).verdict(architecture, sketch).level


def test_the_base_itself_is_exact_on_disk_and_loaded(
    base, directory, architecture, sketch
):
    assert level_of(directory, architecture, sketch) is Level.EXACT
    assert level_of(str(directory), architecture, sketch) is Level.EXACT
    assert level_of(base, architecture, sketch) is Level.EXACT


def test_descendant_is_compatible_in_every_dtype(base, architecture, sketch):
    descendant = changed(base)
    halved = tiny_model(dtype=torch.bfloat16)

    assert level_of(descendant, architecture, sketch) is Level.COMPATIBLE
    assert level_of(halved, architecture, sketch) is Level.COMPATIBLE


def test_task_adapter_does_not_hide_the_base(architecture, sketch):
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(tiny_model(), config)

    assert level_of(adapted, architecture, sketch) is Level.EXACT


@pytest.mark.parametrize("family", ["gpt2", "phi3"])
def test_transposed_and_fused_weights_are_compared_as_stored(family, tmp_path):
    model = tiny_model(family)
    directory = save_checkpoint(model, tmp_path, sharded=True)
    family_of = architecture_from_config(model.config.to_dict())
    own = sketch_from_checkpoint_dir(directory, family_of)

    assert level_of(model, family_of, own) is Level.EXACT
    assert level_of(directory, family_of, own) is Level.EXACT
    assert level_of(changed(model), family_of, own) is Level.COMPATIBLE
    stranger = tiny_model(family, seed=99)
    assert level_of(stranger, family_of, own) is Level.INCOMPATIBLE


def test_stranger_of_the_same_structure_is_found_out(architecture, sketch, tmp_path):
    stranger = tiny_model(seed=99)
    save_checkpoint(stranger, tmp_path)

    for model in (stranger, tmp_path):
        verdict = describe_model(model).verdict(architecture, sketch)
        assert verdict.level is Level.INCOMPATIBLE
        assert verdict.reasons[0].code == "lineage-differs"
        with pytest.raises(CompatibilityError, match=r"that this one descends from"):
            require(verdict)


def test_config_alone_is_structural(base, architecture, sketch, tmp_path):
    config = base.config.to_dict()
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert level_of(config, architecture, sketch) is Level.STRUCTURAL
    assert level_of(tmp_path, architecture, sketch) is Level.STRUCTURAL
    assert level_of(tmp_path / "config.json", architecture, sketch) is Level.STRUCTURAL


def test_weights_that_are_not_there_are_not_compared(base, architecture, sketch):
    with torch.device("meta"):
        absent = type(base)(base.config)

    assert level_of(absent, architecture, sketch) is Level.STRUCTURAL


def test_quantised_weights_are_not_compared(architecture, sketch):
    quantised = tiny_model()
    for path in (module.path for module in architecture.modules):
        module = quantised.get_submodule(path)
        packed = torch.zeros(module.weight.numel() // 2, dtype=torch.uint8)
        module.weight = torch.nn.Parameter(packed, requires_grad=False)

    assert level_of(quantised, architecture, sketch) is Level.STRUCTURAL


def packed(weights, dtype, name):
    """Every linear weight of the layers as quantising tools store it."""
    return {
        key.replace("weight", name) if ".layers." in key and "proj" in key else key: (
            torch.zeros(tensor.numel() // 2, dtype=dtype)
            if ".layers." in key and "proj" in key
            else tensor
        )
        for key, tensor in weights.items()
    }


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        pytest.param(torch.int8, "weight", id="int8"),
        pytest.param(torch.uint8, "weight", id="two 4-bit values a byte"),
        pytest.param(torch.float8_e4m3fn, "weight", id="float8"),
        pytest.param(torch.int32, "qweight", id="packed under another name"),
    ],
)
def test_quantised_directory_is_structural_and_says_why(
    base, architecture, sketch, tmp_path, dtype, name
):
    save_checkpoint(base, tmp_path)
    weights = tmp_path / "model.safetensors"
    save_file(packed(load_file(weights), dtype, name), weights)

    verdict = describe_model(tmp_path).verdict(architecture, sketch)

    assert verdict.level is Level.STRUCTURAL
    assert [reason.code for reason in verdict.reasons] == ["lineage-not-checked"]
    assert "quantised" in verdict.reasons[0].detail
    with pytest.raises(CompatibilityError, match="unquantised safetensors weights"):
        require(verdict)
    require(verdict, allow_unverified_lineage=True)


def test_quantised_directory_of_another_structure_stays_incompatible(
    architecture, sketch, tmp_path
):
    save_checkpoint(tiny_model(num_hidden_layers=3), tmp_path)
    weights = tmp_path / "model.safetensors"
    save_file(packed(load_file(weights), torch.int8, "weight"), weights)

    verdict = describe_model(tmp_path).verdict(architecture, sketch)

    assert verdict.level is Level.INCOMPATIBLE
    with pytest.raises(CompatibilityError, match="layers"):
        require(verdict, allow_unverified_lineage=True)


def test_model_whose_modules_have_other_names_is_not_compared(architecture, sketch):
    renamed = torch.nn.Module()
    renamed.config = tiny_config()
    renamed.inner = tiny_model()

    assert level_of(renamed, architecture, sketch) is Level.STRUCTURAL


def test_other_structure_needs_no_weights(architecture, sketch):
    deeper = tiny_config(num_hidden_layers=3).to_dict()

    verdict = describe_model(deeper).verdict(architecture, sketch)

    assert verdict.level is Level.INCOMPATIBLE
    assert verdict.reasons[0].expected == "2"
    assert verdict.reasons[0].actual == "3"


def test_damaged_weights_are_an_error_not_a_verdict(
    base, architecture, sketch, tmp_path
):
    save_checkpoint(base, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])

    with pytest.raises(TensorFileError):
        describe_model(tmp_path).verdict(architecture, sketch)


def test_directory_without_a_model_says_what_is_expected(tmp_path):
    with pytest.raises(UsageError, match=r"config\.json"):
        describe_model(tmp_path / "nowhere")


def test_adapter_directory_is_not_taken_for_a_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")

    with pytest.raises(UsageError, match="PEFT adapter"):
        describe_model(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000])
def test_unreadable_config_names_its_file(tmp_path, text):
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(InvalidDataError, match=r"config\.json"):
        describe_model(tmp_path)


def test_weights_named_in_place_of_the_config_are_not_read(tmp_path):
    weights = tmp_path / "model.safetensors"
    with weights.open("wb") as stream:
        stream.truncate(1 << 30)

    with pytest.raises(InvalidDataError, match=r"which has a few kilobytes.*name the"):
        describe_model(weights)


def test_anything_else_is_no_model():
    with pytest.raises(UsageError, match="int"):
        describe_model(42)
