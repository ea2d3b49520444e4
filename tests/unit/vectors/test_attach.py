"""Run-time application: exactness, switches, per-sample coefficients, refusals."""

from dataclasses import replace

import peft
import pytest
import torch
from support.models import (
    ALL_FAMILIES,
    FAMILIES,
    logits_of,
    random_ids,
    random_vector,
    tiny_model,
    weight_bytes,
)

from safegene.errors import (
    CompatibilityError,
    ShapeMismatchError,
    UsageError,
)
from safegene.vectors.attach import attach
from safegene.vectors.merge import merge_into

SAME = 1e-4
"""Absolute, on logits of order one: float32 sums in another order."""
HALF = 0.15
"""Absolute: bfloat16 carries 8 bits and rounds after every module."""


def _lora_model(model, *, targets, seed=11):
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=targets, init_lora_weights=False
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return peft.get_peft_model(model, config).eval()


def _hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_attached_vector_acts_like_merged_weights(family):
    model = tiny_model(family)
    vector = random_vector(model)
    ids = random_ids(model)
    coefficients = {0: 0.5, 1: 1.5}

    with attach(model, vector, coefficients):
        attached = logits_of(model, ids)

    undo = merge_into(model, vector, coefficients)
    merged = logits_of(model, ids)
    undo.undo()
    assert torch.allclose(attached, merged, atol=SAME)
    assert not torch.allclose(attached, logits_of(model, ids), atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_off_zero_strength_and_zero_coefficients_change_no_bit(dtype):
    model = tiny_model(dtype=dtype)
    ids = random_ids(model)
    plain = logits_of(model, ids)

    with attach(model, random_vector(model)) as attachment:
        assert not torch.equal(logits_of(model, ids), plain)
        attachment.enabled = False
        assert torch.equal(logits_of(model, ids), plain)
        attachment.enabled = True
        attachment.strength = 0.0
        assert torch.equal(logits_of(model, ids), plain)
        attachment.strength = 1.0
        attachment.set_coefficients({})
        assert torch.equal(logits_of(model, ids), plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_follows_float32_and_keeps_its_dtype(dtype):
    model = tiny_model()
    ids = random_ids(model)
    vector = random_vector(model)
    with attach(model, vector):
        wanted = logits_of(model, ids)

    with attach(model.to(dtype), vector):
        found = logits_of(model, ids)

    assert found.dtype == dtype
    assert torch.allclose(found.float(), wanted, atol=HALF)


def test_strength_multiplies_the_coefficients():
    model = tiny_model()
    ids = random_ids(model)
    vector = random_vector(model)

    with attach(model, vector, {0: 1.0, 1: 0.5}) as attachment:
        attachment.strength = 0.5
        dialled = logits_of(model, ids)

    with attach(model, vector, {0: 0.5, 1: 0.25}):
        assert torch.equal(logits_of(model, ids), dialled)


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_senseless_strength_is_refused(value):
    model = tiny_model()

    with (
        attach(model, random_vector(model)) as attachment,
        pytest.raises(UsageError, match="strength"),
    ):
        attachment.strength = value

    assert attachment.strength == 1.0


def test_detaching_leaves_no_hook_and_no_changed_bit():
    model = tiny_model()
    ids = random_ids(model)
    plain, before = logits_of(model, ids), weight_bytes(model)

    attachment = attach(model, random_vector(model))
    assert _hooks(model) == 14
    attachment.detach()
    attachment.detach()

    assert _hooks(model) == 0
    assert weight_bytes(model) == before
    assert torch.equal(logits_of(model, ids), plain)


def test_error_inside_the_block_detaches_too():
    model = tiny_model()

    with pytest.raises(RuntimeError), attach(model, random_vector(model)):
        raise RuntimeError

    assert _hooks(model) == 0


def test_swap_puts_the_other_vector_in_place_and_keeps_the_dial():
    model = tiny_model()
    ids = random_ids(model)
    first, second = random_vector(model, seed=3), random_vector(model, seed=4)

    with attach(model, first) as attachment:
        attachment.strength = 0.5
        attachment.swap(second)
        swapped = logits_of(model, ids)
        assert attachment.vector is second
        assert _hooks(model) == 14

    with attach(model, second, {0: 0.5, 1: 0.5}):
        assert torch.equal(logits_of(model, ids), swapped)


def test_failed_swap_keeps_the_old_vector():
    model = tiny_model()
    ids = random_ids(model)
    foreign = random_vector(tiny_model(hidden_size=64))

    with attach(model, random_vector(model)) as attachment:
        before = logits_of(model, ids)
        with pytest.raises(CompatibilityError):
            attachment.swap(foreign)
        with pytest.raises(UsageError):
            attachment.swap(random_vector(model, seed=9), {5: 1.0})

        assert torch.equal(logits_of(model, ids), before)


def test_two_vectors_add_up():
    model = tiny_model()
    ids = random_ids(model)
    first, second = random_vector(model, seed=3), random_vector(model, seed=4)

    with attach(model, first), attach(model, second):
        both = logits_of(model, ids)

    undo = [merge_into(model, first), merge_into(model, second)]
    assert torch.allclose(both, logits_of(model, ids), atol=SAME)
    assert len(undo) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_task_adapter_stays_unmerged_and_both_act(family):
    plain = tiny_model(family)
    vector = random_vector(plain)
    ids = random_ids(plain)
    leaf = "query_key_value" if family == "gpt_neox" else "q_proj"
    wrapped = _lora_model(tiny_model(family), targets=[leaf])
    adapted = logits_of(wrapped, ids)
    before = weight_bytes(wrapped)

    with attach(wrapped, vector):
        both = logits_of(wrapped, ids)

    assert weight_bytes(wrapped) == before
    assert torch.equal(logits_of(wrapped, ids), adapted)
    merged = wrapped.merge_and_unload()
    merge_into(merged, vector)
    assert torch.allclose(both, logits_of(merged, ids), atol=SAME)
    assert not torch.allclose(both, adapted, atol=0.05)


def test_per_sample_coefficients_equal_a_loop_over_the_samples():
    model = tiny_model()
    vector = random_vector(model)
    ids = random_ids(model, batch=3)
    columns = torch.tensor([[0.0, 0.5, 1.0], [1.5, 1.0, 0.25]])

    with attach(model, vector) as attachment:
        with attachment.live_coefficients(columns):
            together = logits_of(model, ids)
        for sample in range(3):
            values = {0: float(columns[0, sample]), 1: float(columns[1, sample])}
            attachment.set_coefficients(values)
            alone = logits_of(model, ids[sample : sample + 1])
            assert torch.allclose(together[sample], alone[0], atol=SAME)


def test_one_backward_pass_gives_every_samples_own_gradient():
    model = tiny_model(dtype=torch.float64)
    vector = random_vector(model)
    ids = random_ids(model, batch=4)

    def loss_of(attachment, rows, live):
        with attachment.live_coefficients(live):
            logits = model(input_ids=rows, use_cache=False).logits
        return torch.logsumexp(logits[:, -1], dim=-1).square()

    with attach(model, vector) as attachment:
        live = torch.full((2, 4), 0.7, dtype=torch.float64, requires_grad=True)
        (together,) = torch.autograd.grad(loss_of(attachment, ids, live).sum(), live)
        for sample in range(4):
            one = torch.full((2,), 0.7, dtype=torch.float64, requires_grad=True)
            loss = loss_of(attachment, ids[sample : sample + 1], one)
            (alone,) = torch.autograd.grad(loss.sum(), one)
            assert torch.allclose(together[:, sample], alone, rtol=1e-5)


def test_gradients_match_finite_differences():
    model = tiny_model(dtype=torch.float64)
    vector = random_vector(model)
    ids = random_ids(model, batch=1)
    point = torch.tensor([0.3, 0.8], dtype=torch.float64, requires_grad=True)

    with attach(model, vector) as attachment:

        def function(values):
            with attachment.live_coefficients(values):
                return model(input_ids=ids, use_cache=False).logits[0, -1, :5]

        # The norms of the real class work in float32, so steps cannot be tiny.
        assert torch.autograd.gradcheck(function, (point,), eps=1e-2, atol=1e-2)


def test_live_coefficients_end_with_their_block():
    model = tiny_model()
    ids = random_ids(model)

    with attach(model, random_vector(model)) as attachment:
        before = logits_of(model, ids)
        with attachment.live_coefficients(torch.zeros(2)):
            assert not torch.equal(logits_of(model, ids), before)

        assert torch.equal(logits_of(model, ids), before)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 2), (2, 3, 1), ()])
def test_live_coefficients_of_another_shape_are_refused(shape):
    model = tiny_model()

    with (
        attach(model, random_vector(model)) as attachment,
        pytest.raises(ShapeMismatchError, match="2 touched layers"),
        attachment.live_coefficients(torch.ones(shape)),
    ):
        pass


def test_live_coefficients_for_another_batch_are_refused():
    model = tiny_model()

    with (
        attach(model, random_vector(model)) as attachment,
        attachment.live_coefficients(torch.ones(2, 7)),
        pytest.raises(ShapeMismatchError, match="7 samples"),
    ):
        logits_of(model, random_ids(model, batch=3, tokens=7))


def test_unselected_layers_get_no_hook():
    model = tiny_model()
    vector = replace(random_vector(model), selected_layers=(1,))

    with attach(model, vector) as attachment:
        assert attachment.coefficients == {1: 1.0}
        assert _hooks(model) == 7


def test_model_that_moves_to_another_device_takes_the_vector_along():
    model = tiny_model()

    with attach(model, random_vector(model)):
        layer = model.to("meta").model.layers[0].mlp.up_proj
        moved = layer(torch.empty(1, 2, 32, device="meta"))

    assert moved.device.type == "meta"
    assert moved.shape == (1, 2, 48)


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_with_a_cache_uses_the_vector_at_every_token(family):
    model = tiny_model(family)
    ids = random_ids(model, batch=1)
    vector = random_vector(model)
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    mask = torch.ones_like(ids)

    with attach(model, vector):
        attached = model.generate(ids, attention_mask=mask, **options)

    merge_into(model, vector)
    merged = model.generate(ids, attention_mask=mask, **options)
    assert attached.shape == (1, 13)
    assert torch.equal(attached, merged)
