"""Invariants of applying a vector: by name, never negative or void in silence."""

import random
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.models import (
    logits_of,
    random_ids,
    random_vector,
    save_checkpoint,
    tiny_model,
    weight_bytes,
)
from transformers import AutoModelForCausalLM, GPT2Model

from safegene.artifact.lineage import (
    CheckpointReader,
    LocalFiles,
    sketch_from_checkpoint_dir,
)
from safegene.errors import (
    CompatibilityError,
    InvalidDataError,
    ShapeMismatchError,
    TensorFileError,
    UsageError,
)
from safegene.vectors.attach import attach
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.lora_adapter import read_lora_adapter
from safegene.vectors.merge import merge_checkpoint, merge_into
from safegene.vectors.peft_format import export_adapter

SAME = 2e-4
"""Absolute, on logits of order one: float32 sums in another order."""


def _shuffled(vector, seed=1):
    paths = list(vector.factors)
    random.Random(seed).shuffle(paths)
    return replace(vector, factors={path: vector.factors[path] for path in paths})


def _zero(vector):
    factors = {
        path: LowRankFactors(part.a_RI, torch.zeros_like(part.b_OR))
        for path, part in vector.factors.items()
    }
    return replace(vector, factors=factors)


def _tiny_changes(vector):
    return replace(
        vector, factors={p: f.scaled(1e-9) for p, f in vector.factors.items()}
    )


@pytest.mark.parametrize("family", ["llama", "phi3", "gpt2"])
def test_order_of_factors_modules_and_tensors_makes_no_difference(family, tmp_path):
    model, vector = tiny_model(family), random_vector(tiny_model(family))
    ids = random_ids(model)
    source = save_checkpoint(model, tmp_path / "source")
    with attach(model, vector, {0: 1.5, 1: 0.5}):
        wanted = logits_of(model, ids)
    mixed = tiny_model(family)
    for module in list(mixed.modules()):
        module._modules = dict(reversed(module._modules.items()))

    with attach(mixed, _shuffled(vector), {1: 0.5, 0: 1.5}):
        # The blocks themselves run in the order of their list, so put them back.
        for module in mixed.modules():
            module._modules = dict(reversed(module._modules.items()))
        attached = logits_of(mixed, ids)
    merge_checkpoint(
        Checkpoint.open(source),
        _shuffled(vector),
        tmp_path / "out",
        coefficients={1: 0.5, 0: 1.5},
    )

    assert torch.equal(attached, wanted)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.allclose(logits_of(merged, ids), wanted, atol=SAME)


def test_only_the_named_layer_changes_in_a_model_of_equal_layers():
    model = tiny_model("gpt2")
    before = model.state_dict() | {}
    before = {name: weight.clone() for name, weight in before.items()}

    merge_into(model, random_vector(model), {1: 1.0})

    moved = {
        name
        for name, weight in model.state_dict().items()
        if not torch.equal(weight, before[name])
    }
    leaves = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert moved == {f"transformer.h.1.{leaf}.weight" for leaf in leaves}


def test_checkpoint_of_the_bare_model_is_read_and_merged_by_name(tmp_path):
    """The Hub's gpt2 lacks the `transformer.` of every name; loading adds it."""
    model = tiny_model("gpt2")
    vector, ids = random_vector(model), random_ids(model)
    GPT2Model.save_pretrained(model.transformer, tmp_path / "bare")
    save_checkpoint(model, tmp_path / "whole")
    bare, whole = (Checkpoint.open(tmp_path / name) for name in ("bare", "whole"))
    name = "transformer.h.1.attn.c_attn.weight"

    assert name not in bare.names()
    assert torch.equal(bare.read(name), whole.read(name))
    assert sketch_from_checkpoint_dir(
        bare.directory, bare.architecture
    ) == sketch_from_checkpoint_dir(whole.directory, whole.architecture)
    assert CheckpointReader(LocalFiles(bare.directory)).can_read(name)
    assert not CheckpointReader(LocalFiles(bare.directory)).can_read(
        "transformer.h.7.x.weight"
    )
    merge_checkpoint(bare, vector, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    merge_into(model, vector)
    assert torch.allclose(logits_of(loaded, ids), logits_of(model, ids), atol=SAME)


def test_linear_weights_are_read_out_by_in_and_others_as_stored(tmp_path):
    model = tiny_model("gpt2")
    checkpoint = Checkpoint.open(save_checkpoint(model, tmp_path))

    for module in checkpoint.architecture.modules:
        weight = checkpoint.read(f"{module.path}.weight")
        assert tuple(weight.shape) == (module.out_features, module.in_features)
        assert torch.equal(weight.T, model.get_submodule(module.path).weight)
    embedding = checkpoint.read("transformer.wpe.weight")
    assert torch.equal(embedding, model.transformer.wpe.weight)
    assert not checkpoint.is_transposed("transformer.wpe.weight")
    with pytest.raises(TensorFileError, match=r"no tensor transformer\.h\.9"):
        checkpoint.read("transformer.h.9.mlp.c_fc.weight")


def test_transposed_weight_of_another_shape_is_named_with_both_shapes(tmp_path):
    model = tiny_model("gpt2")
    source = save_checkpoint(model, tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    name = "transformer.h.1.mlp.c_fc.weight"
    tensors[name] = tensors[name].T.contiguous()
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ShapeMismatchError) as caught:
        merge_checkpoint(
            Checkpoint.open(source), random_vector(model), tmp_path / "out"
        )

    assert name in str(caught.value)
    assert (caught.value.expected, caught.value.actual) == ((48, 32), (32, 48))
    assert not (tmp_path / "out").exists()


def test_model_without_any_of_the_modules_is_refused_by_name():
    vector = random_vector(tiny_model("gpt2"))

    with pytest.raises(CompatibilityError, match=r"no module transformer\.h\.0"):
        attach(torch.nn.Sequential(torch.nn.Linear(32, 96)), vector)


def test_vector_of_zeros_is_refused_by_everything_that_applies(tmp_path):
    model = tiny_model()
    vector = _zero(random_vector(model))
    source = Checkpoint.open(save_checkpoint(model, tmp_path / "source"))
    before = weight_bytes(model)

    with pytest.raises(UsageError, match="changes nothing"):
        attach(model, vector)
    with pytest.raises(UsageError, match="changes nothing"):
        merge_into(model, vector)
    with pytest.raises(UsageError, match="nothing to merge"):
        merge_checkpoint(source, vector, tmp_path / "out")
    with pytest.raises(UsageError, match="nothing to export"):
        export_adapter(vector, tmp_path / "out")

    assert weight_bytes(model) == before
    assert not (tmp_path / "out").exists()


def test_vector_whose_every_layer_was_left_out_is_refused():
    model = tiny_model()

    with pytest.raises(UsageError, match="changes nothing"):
        attach(model, replace(random_vector(model), selected_layers=()))


@pytest.mark.parametrize("nothing", [{}, {0: 0.0, 1: 0.0}])
def test_files_are_not_written_for_coefficients_that_are_all_zero(nothing, tmp_path):
    model = tiny_model()
    source = Checkpoint.open(save_checkpoint(model, tmp_path / "source"))
    vector = random_vector(model)

    with pytest.raises(UsageError, match=r"nothing to merge.*larger budget"):
        merge_checkpoint(source, vector, tmp_path / "out", coefficients=nothing)
    with pytest.raises(UsageError, match=r"nothing to export.*larger budget"):
        export_adapter(vector, tmp_path / "out", coefficients=nothing)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_merge_that_rounding_swallows_whole_is_an_error(dtype, tmp_path):
    model = tiny_model(dtype=dtype)
    vector = _tiny_changes(random_vector(model))
    source = Checkpoint.open(save_checkpoint(model, tmp_path / "source"))
    before = weight_bytes(model)

    with pytest.raises(UsageError, match=r"lost in rounding.*attach it instead"):
        merge_into(model, _tiny_changes(vector))
    with pytest.raises(UsageError, match=r"lost in rounding.*attach it instead"):
        merge_checkpoint(source, _tiny_changes(vector), tmp_path / "out")

    assert weight_bytes(model) == before
    assert not (tmp_path / "out").exists()


def test_adapter_without_tensors_is_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "r": 4, "lora_alpha": 4}'
    )
    save_file({}, tmp_path / "adapter_model.safetensors")

    with pytest.raises(InvalidDataError, match="no tensors at all"):
        read_lora_adapter(tmp_path)


def test_adapter_in_the_place_of_a_model_is_led_to_its_own_place(tmp_path):
    export_adapter(random_vector(tiny_model()), tmp_path / "adapter")

    with pytest.raises(InvalidDataError, match=r"is a PEFT adapter.*task_adapter"):
        Checkpoint.open(tmp_path / "adapter")


NEGATIVE = [
    pytest.param({1: -0.5}, "layer 1", id="layer"),
    pytest.param(
        {"model.layers.1.mlp.up_proj": -0.5},
        r"module model\.layers\.1\.mlp\.up_proj",
        id="module",
    ),
]


@pytest.mark.parametrize(("negative", "named"), NEGATIVE)
def test_negative_coefficients_need_the_flag_wherever_they_can_enter(
    negative, named, tmp_path
):
    model = tiny_model()
    vector, ids = random_vector(model), random_ids(model)
    refused = rf"{named}: .*got -0\.5, which would remove safety"
    with pytest.raises(UsageError, match=refused):
        attach(model, vector, negative)
    with attach(model, vector) as attachment:
        before = logits_of(model, ids)
        for enter in (
            lambda: attachment.set_coefficients(negative),
            lambda: attachment.swap(vector, negative),
            lambda: vector.scaled(negative),
            lambda: export_adapter(vector, tmp_path / "out", coefficients=negative),
        ):
            with pytest.raises(UsageError, match=refused):
                enter()
        assert torch.equal(logits_of(model, ids), before)

    with attach(model, vector, negative, allow_negative=True) as attachment:
        asked = logits_of(model, ids)
        attachment.set_coefficients(None)
        attachment.set_coefficients(negative, allow_negative=True)
        assert torch.equal(logits_of(model, ids), asked)
        attachment.swap(vector, negative, allow_negative=True)
        assert torch.equal(logits_of(model, ids), asked)
    merge_into(model, vector, negative, allow_negative=True)
    assert torch.allclose(logits_of(model, ids), asked, atol=SAME)


def test_negative_live_coefficients_need_the_flag():
    model = tiny_model()
    vector, ids = random_vector(model), random_ids(model)
    live = torch.tensor([[0.5, 0.0, 1.0], [1.0, -0.25, 0.5]])

    with attach(model, vector) as attachment:
        with (
            pytest.raises(UsageError, match=r"layers\.1\..*got -0\.25"),
            attachment.live_coefficients(live),
        ):
            pass
        before = logits_of(model, ids)
        with attachment.live_coefficients(live, allow_negative=True):
            assert not torch.equal(logits_of(model, ids), before)
