"""Models that a loader takes for the vector's own: never applied, partly or wholly.

PEFT loads the vector onto each of these without a word (warnings are errors here), and
the model then answers differently, or as if nothing had been loaded. Every way that
leads through the client refuses, by structure or by lineage, and changes no bit.
"""

import json

import pytest
import torch
from peft import PeftModel
from safegene_client.cli import main
from safegene_client.pulled import PulledVector
from support.models import (
    logits_of,
    random_ids,
    random_vector,
    save_checkpoint,
    tiny_model,
    weight_bytes,
)

from safegene.errors import CompatibilityError
from safegene.vectors.attach import attach
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.merge import merge_checkpoint, merge_into
from safegene.vectors.peft_format import save_vector

SIZES = {"num_hidden_layers": 4, "num_key_value_heads": 2, "head_dim": 8}
MISFITS = {
    "qwen2": ("qwen2", SIZES),
    "mistral": ("mistral", SIZES),
    "half the layers": ("llama", {**SIZES, "num_hidden_layers": 2}),
    "other weights": ("llama", {**SIZES, "seed": 9}),
}
STRUCTURAL = [name for name in MISFITS if name != "other weights"]
TENSORS = 2 * 2 * SIZES["num_hidden_layers"]
"""A and B of two modules in every layer."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    place = tmp_path_factory.mktemp("vectors") / "guard"
    vector = random_vector(
        tiny_model("llama", **SIZES), leaf_names=("q_proj", "down_proj")
    )
    save_vector(vector, place, namespace="acme", name="guard", version="1.0.0")
    return place


@pytest.fixture(scope="module")
def pulled(directory):
    return PulledVector.open(directory)


def misfit(name):
    family, changes = MISFITS[name]
    return tiny_model(family, **changes)


@pytest.mark.parametrize("name", MISFITS)
def test_peft_loads_the_vector_onto_a_misfit_without_a_word(directory, name):
    model = misfit(name)
    ids = random_ids(model)
    before = logits_of(model, ids)

    loaded = PeftModel.from_pretrained(model, directory)

    taken = [key for key in loaded.state_dict() if "lora_" in key]
    assert len(taken) == (TENSORS // 2 if name == "half the layers" else TENSORS)
    assert not torch.allclose(logits_of(loaded, ids), before)


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda pulled, model: pulled.apply(model), id="apply"),
        pytest.param(
            lambda pulled, model: pulled.recalibrate(
                model, object(), harmful=[], lookalike=[], task=[]
            ),
            id="recalibrate",
        ),
        pytest.param(lambda pulled, model: pulled.select(model, object()), id="select"),
    ],
)
def test_the_client_refuses_a_loaded_misfit_and_changes_no_bit(pulled, name, use):
    model = misfit(name)
    ids = random_ids(model)
    weights, before = weight_bytes(model), logits_of(model, ids)

    with pytest.raises(CompatibilityError, match="does not fit this model"):
        use(pulled, model)

    assert weight_bytes(model) == weights
    assert torch.equal(logits_of(model, ids), before)


@pytest.mark.parametrize("name", STRUCTURAL)
def test_no_override_lets_another_structure_pass(pulled, name):
    model = misfit(name)
    ids = random_ids(model)
    weights, before = weight_bytes(model), logits_of(model, ids)

    with pytest.raises(CompatibilityError):
        pulled.apply(model, allow_unverified_lineage=True)
    with pytest.raises(CompatibilityError):
        attach(model, pulled.vector)
    with pytest.raises(CompatibilityError):
        merge_into(model, pulled.vector)

    assert weight_bytes(model) == weights
    assert torch.equal(logits_of(model, ids), before)


@pytest.mark.parametrize("name", STRUCTURAL)
def test_files_of_another_structure_are_not_merged_into(pulled, name, tmp_path):
    source = save_checkpoint(misfit(name), tmp_path / "model")

    with pytest.raises(CompatibilityError):
        merge_checkpoint(Checkpoint.open(source), pulled.vector, tmp_path / "out")

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize("command", ["apply", "merge"])
def test_the_command_line_writes_nothing_for_a_misfit(
    capsys, directory, name, command, tmp_path
):
    source = save_checkpoint(misfit(name), tmp_path / "model")
    out = tmp_path / "out"

    code = main(
        [
            *(command, str(directory), "--model", str(source)),
            *("--out", str(out), "--json"),
        ]
    )

    error = json.loads(capsys.readouterr().out)["error"]
    assert (code, error["code"]) == (5, "incompatible")
    assert "does not fit this model (incompatible)" in error["detail"]
    assert not out.exists()


def test_a_server_that_finds_no_module_by_name_would_serve_the_base(pulled):
    """Of a model inside a larger one every module has another name."""
    inner = tiny_model("llama", **SIZES)
    whole = torch.nn.ModuleDict({"language_model": inner})
    names = dict(whole.named_modules())
    assert not set(pulled.manifest.footprint) & set(names)

    with pytest.raises(CompatibilityError, match="the model has no module model"):
        attach(whole, pulled.vector)
    config = {"model_type": "llava", "text_config": inner.config.to_dict()}
    verdict = pulled.check(config)

    assert verdict.level == "incompatible"
    assert verdict.reasons[0].code == "unknown-architecture"
    assert "save that part alone" in verdict.reasons[0].detail
