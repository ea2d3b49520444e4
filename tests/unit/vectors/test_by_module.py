"""One coefficient a module: attach, merge, export and recalibrate agree with layers."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import changed, logits_of, random_ids, random_vector, tiny_model
from support.recalibration import (
    HELPING,
    RANK,
    calibration_data,
    known_vector,
    tiny_target,
    tiny_tokenizer,
)

from safegene.errors import UsageError
from safegene.vectors.attach import attach
from safegene.vectors.factors import truncated_factors
from safegene.vectors.merge import merge_into
from safegene.vectors.recalibrate import recalibrate_coefficients
from safegene.vectors.recalibrate.forward import Runner, steady
from safegene.vectors.recalibrate.objective import Objective
from safegene.vectors.recalibrate.samples import Effort, draw_samples
from safegene.vectors.recalibrate.target import Target

BASE = tiny_model()
VECTOR = random_vector(BASE)
TARGET = changed(BASE, scale=0.02)
DATA = calibration_data()
values = st.floats(0, 2).map(lambda value: round(value, 4))


def _logits(coefficients):
    with attach(TARGET, VECTOR, coefficients):
        return logits_of(TARGET, random_ids(TARGET))


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[values] * len(VECTOR.layers)))
def test_layers_are_modules_that_agree(by_number):
    by_layer = dict(zip(VECTOR.layers, by_number, strict=True))
    by_module = {path: by_layer[VECTOR.layer_of(path)] for path in VECTOR.modules}

    assert VECTOR.by_module(by_layer) == by_module
    assert torch.equal(_logits(by_layer), _logits(by_module))


def test_merge_export_and_attach_agree_by_module():
    by_module = {path: 0.1 * (at % 7) for at, path in enumerate(VECTOR.modules)}
    attached = _logits(by_module)

    undo = merge_into(TARGET, VECTOR, by_module)
    merged = logits_of(TARGET, random_ids(TARGET))
    undo.undo()
    with attach(TARGET, VECTOR.scaled(by_module)):
        exported = logits_of(TARGET, random_ids(TARGET))

    assert not torch.allclose(attached, _logits({}), atol=1e-3)
    assert torch.allclose(attached, merged, atol=1e-4)
    assert torch.allclose(attached, exported, atol=1e-4)


def test_one_module_moves_alone():
    path = VECTOR.modules[0]

    with attach(TARGET, VECTOR, {path: 0.5}) as attachment:
        assert attachment.coefficients[path] == 0.5
        assert sum(attachment.coefficients.values()) == 0.5
        attachment.set_coefficients(None)
        assert attachment.coefficients == dict.fromkeys(VECTOR.layers, 1.0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        pytest.param({"model.layers.9.x": 1.0}, r"module model\.layers\.9", id="path"),
        pytest.param({VECTOR.modules[0]: float("nan")}, "finite", id="nan"),
        pytest.param({0: 1.0, VECTOR.modules[0]: 1.0}, "got both", id="mixed"),
    ],
)
def test_senseless_coefficients_are_refused(wrong, told):
    with pytest.raises(UsageError, match=told):
        VECTOR.by_module(wrong)


def test_negative_module_is_not_merged_unless_asked_for():
    negated = {VECTOR.modules[0]: -0.5}

    with pytest.raises(UsageError, match=f"module {VECTOR.modules[0]}"):
        merge_into(TARGET, VECTOR, negated)
    merge_into(TARGET, VECTOR, negated, allow_negative=True).undo()


@pytest.mark.parametrize("by", ["layers", "modules"])
def test_live_coefficients_give_what_set_ones_give(by):
    units = getattr(VECTOR, by)
    numbers = torch.linspace(0, 1, len(units))
    set_ones = _logits(dict(zip(units, numbers.tolist(), strict=True)))

    with attach(TARGET, VECTOR) as attachment, attachment.live_coefficients(numbers):
        live = logits_of(TARGET, random_ids(TARGET))

    assert torch.allclose(live, set_ones, atol=1e-5)


def _world():
    """The helping layer's other module disturbs, which only modules can tell apart."""
    tokenizer = tiny_tokenizer()
    model = tiny_target(tokenizer)
    vector = known_vector(model, tokenizer, size=2.0)
    path = f"model.layers.{HELPING}.mlp.gate_proj"
    weight = model.get_submodule(path).weight
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    extra = truncated_factors(noise / noise.norm(), rank=RANK).scaled(4.0)
    factors = {**vector.factors, path: extra}
    ordered = {
        module.path: factors[module.path]
        for module in vector.architecture.modules
        if module.path in factors
    }
    return model, tokenizer, replace(vector, factors=ordered), path


def test_modules_find_what_layers_cannot():
    *world, disturbing = _world()

    # So few rows say too little of so many coefficients with one label a token.
    settings = {"budget": 0.02, "effort": Effort(fisher_draws=4)}
    by_layer = recalibrate_coefficients(*world, DATA, **settings)
    found = recalibrate_coefficients(*world, DATA, granularity="module", **settings)

    assert found.granularity == "module"
    assert set(found.values) == set(world[2].modules)
    assert float(found.realised_kl) <= 0.02
    assert float(found.objective_after) <= float(found.objective_uniform)
    assert float(found.objective_after) < float(by_layer.objective_after)
    helping = disturbing.replace("gate_proj", "down_proj")
    assert found.values[disturbing] < found.values[helping]


def test_what_layers_reach_modules_reach_at_the_same_price():
    """KL and objective of a point by layer are those of its modules."""
    model, tokenizer, vector, _ = _world()
    by_layer = {layer: 0.1 * (at + 1) for at, layer in enumerate(vector.layers)}
    by_module = vector.by_module(by_layer)
    measured = []
    assert len(vector.layers) < len(vector.modules)

    with steady(model), attach(model, vector, {}) as attachment:
        samples = draw_samples(model, tokenizer, DATA, Effort(), seed=0)
        for units, point in ((vector.layers, by_layer), (vector.modules, by_module)):
            runner = Runner(model, attachment, units, batch_size=16)
            target = Target(runner, samples, Objective())
            target.record(seed=0, draws=0, progress=lambda done, total: None)
            numbers = torch.tensor(list(point.values()), dtype=torch.float64)
            measured.append((target.kl(numbers), target.score(numbers).total))

    assert measured[0] == measured[1]
