"""Finding a vector's modules in a loaded model: all of them, or an error by name."""

from dataclasses import replace

import pytest
import torch
from support.models import random_vector, tiny_model
from transformers.pytorch_utils import Conv1D

from safegene.errors import (
    CompatibilityError,
    NonFiniteTensorError,
    ShapeMismatchError,
    UsageError,
)
from safegene.vectors.attach import attach
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.targets import (
    base_weight,
    find_modules,
    is_transposed,
    linear_shape,
)


def _hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"num_hidden_layers": 3}, id="deeper"),
        pytest.param({"num_hidden_layers": 1}, id="shallower"),
        pytest.param({"intermediate_size": 56}, id="wider"),
        pytest.param({"attention_bias": True}, id="with-bias"),
    ],
)
def test_model_of_another_structure_is_refused_whole(changes):
    vector = random_vector(tiny_model())
    other = tiny_model(**changes)

    with pytest.raises(CompatibilityError) as caught:
        attach(other, vector)

    assert caught.value.reasons == () or caught.value.reasons[0].expected is not None
    assert _hooks(other) == 0


def test_model_of_another_family_is_refused_and_both_are_named():
    with pytest.raises(CompatibilityError, match=r"llama.*gpt_neox"):
        attach(tiny_model("gpt_neox"), random_vector(tiny_model()))


def test_weight_that_belies_its_config_is_refused_by_module():
    model = tiny_model()
    path = "model.layers.1.mlp.up_proj"
    model.get_submodule("model.layers.1.mlp").up_proj = torch.nn.Linear(32, 40)

    with pytest.raises(ShapeMismatchError, match=path) as caught:
        attach(model, random_vector(model))

    assert (caught.value.expected, caught.value.actual) == ((48, 32), (40, 32))
    assert _hooks(model) == 0


def test_model_that_lacks_a_module_is_refused():
    model = tiny_model()
    vector = random_vector(model)
    del model.model.layers[1].mlp

    with pytest.raises(CompatibilityError, match=r"no module model\.layers\.1\.mlp"):
        attach(model, vector)

    assert _hooks(model) == 0


def test_coefficient_of_a_layer_that_is_not_touched_is_refused():
    model = tiny_model()

    with pytest.raises(UsageError, match="layer 4"):
        attach(model, random_vector(model), {4: 1.0})

    assert _hooks(model) == 0


def test_factor_beyond_float16_is_refused_by_module():
    model = tiny_model(dtype=torch.float16)
    vector = random_vector(model)
    path = "model.layers.0.self_attn.q_proj"
    huge = LowRankFactors(vector.factors[path].a_RI * 1e6, vector.factors[path].b_OR)
    vector = replace(vector, factors={**vector.factors, path: huge})

    with pytest.raises(NonFiniteTensorError, match=path):
        attach(model, vector)

    assert _hooks(model) == 0


def test_conv1d_layers_are_understood():
    layer = Conv1D(48, 32)

    assert is_transposed(layer)
    assert linear_shape(layer) == (48, 32)
    assert tuple(base_weight(layer).shape) == (32, 48)


def test_model_without_a_config_is_checked_module_by_module():
    model = tiny_model()
    vector = random_vector(model)

    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model.model

    bare = Bare()

    assert list(find_modules(bare, vector)) == list(vector.factors)


def test_module_that_is_not_linear_is_refused():
    model = tiny_model()
    vector = random_vector(model)
    model.model.layers[0].mlp.up_proj = torch.nn.Identity()

    with pytest.raises(CompatibilityError, match="Identity has no weight"):
        attach(model, vector)

    assert _hooks(model) == 0


def test_quantised_layer_is_matched_by_the_sizes_it_states():
    layer = torch.nn.Linear(32, 48)
    layer.weight = torch.nn.Parameter(
        torch.zeros(768, 1, dtype=torch.uint8), requires_grad=False
    )

    assert linear_shape(layer) == (48, 32)
