"""Targets with an unmerged task adapter, and vectors that PEFT itself loads."""

import peft
import pytest
import torch
from support.models import (
    ALL_FAMILIES,
    logits_of,
    random_ids,
    random_vector,
    tiny_model,
    weight_bytes,
)

from safegene.errors import CompatibilityError
from safegene.vectors.attach import attach
from safegene.vectors.merge import merge_into
from safegene.vectors.peft_format import export_adapter, save_vector

SAME = 2e-4
"""Absolute, on logits of order one: float32 sums in another order."""
FAR = 0.02
"""Absolute: what every part changes at least."""


def _tuned(family, config=None, **changes):
    """A model with a random task adapter on every linear module, unmerged."""
    config = config or peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules="all-linear",
        init_lora_weights=False,
        fan_in_fan_out=family == "gpt2",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return peft.get_peft_model(tiny_model(family, **changes), config).eval()


def _apart(first, second):
    return float((first - second).abs().max())


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_adapter_and_vector_are_switched_one_without_the_other(family):
    ids, plain = random_ids(tiny_model(family)), tiny_model(family)
    vector = random_vector(plain)
    base = logits_of(plain, ids)
    with attach(plain, vector):
        only_vector = logits_of(plain, ids)
    tuned = _tuned(family)
    only_adapter, weights = logits_of(tuned, ids), weight_bytes(tuned)

    with attach(tuned, vector) as attachment:
        both = logits_of(tuned, ids)
        attachment.enabled = False
        assert torch.equal(logits_of(tuned, ids), only_adapter)
        with tuned.disable_adapter():
            assert torch.equal(logits_of(tuned, ids), base)
            attachment.enabled = True
            assert torch.equal(logits_of(tuned, ids), only_vector)
        assert torch.equal(logits_of(tuned, ids), both)

    assert torch.equal(logits_of(tuned, ids), only_adapter)
    assert weight_bytes(tuned) == weights
    assert min(_apart(both, only_adapter), _apart(both, only_vector)) > FAR
    merged = _tuned(family).merge_and_unload()
    merge_into(merged, vector)
    assert torch.allclose(both, logits_of(merged, ids), atol=SAME)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_merging_below_an_unmerged_adapter_acts_like_attaching(family):
    tuned, vector = _tuned(family), random_vector(tiny_model(family))
    ids, weights = random_ids(tuned), weight_bytes(tuned)
    with attach(tuned, vector):
        attached = logits_of(tuned, ids)

    undo = merge_into(tuned, vector)

    assert torch.allclose(logits_of(tuned, ids), attached, atol=SAME)
    undo.undo()
    assert weight_bytes(tuned) == weights


@pytest.mark.parametrize("family", ["llama", "phi3", "gpt2"])
def test_vector_stays_when_the_adapter_is_merged_or_unloaded(family):
    """PEFT takes its layers out of the model; the vector must not go with them."""
    vector = random_vector(tiny_model(family))
    tuned = _tuned(family)
    ids = random_ids(tuned)

    with attach(tuned, vector):
        both = logits_of(tuned, ids)
        tuned.merge_adapter()
        assert torch.allclose(logits_of(tuned, ids), both, atol=SAME)
        tuned.unmerge_adapter()
        unloaded = tuned.merge_and_unload()

        assert torch.allclose(logits_of(unloaded, ids), both, atol=SAME)


def test_adapter_that_comes_after_the_vector_leaves_it_in_place():
    model, vector = tiny_model("gpt2"), random_vector(tiny_model("gpt2"))
    ids = random_ids(model)
    with attach(_tuned("gpt2"), vector) as attachment:
        wanted = logits_of(attachment._model, ids)

    with attach(model, vector), torch.random.fork_rng():
        torch.manual_seed(11)
        config = _tuned("gpt2").peft_config["default"]
        tuned = peft.get_peft_model(model, config).eval()

        assert torch.allclose(logits_of(tuned, ids), wanted, atol=SAME)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        pytest.param(
            peft.LoraConfig(
                r=4,
                target_modules=["o_proj"],
                use_dora=True,
                init_lora_weights=False,
            ),
            "DoRA",
            id="dora",
        ),
        pytest.param(
            peft.IA3Config(
                target_modules=["o_proj"],
                feedforward_modules=[],
                init_ia3_weights=False,
            ),
            "ia3",
            id="ia3",
        ),
    ],
)
def test_adapter_that_is_no_sum_is_attached_to_but_not_merged_below(config, named):
    tuned, vector = _tuned("llama", config), random_vector(tiny_model())
    ids, weights = random_ids(tuned), weight_bytes(tuned)
    before = logits_of(tuned, ids)

    with attach(tuned, vector):
        assert _apart(logits_of(tuned, ids), before) > FAR
    with pytest.raises(CompatibilityError, match=rf"o_proj.*{named}.*attach the vec"):
        merge_into(tuned, vector)

    assert torch.equal(logits_of(tuned, ids), before)
    assert weight_bytes(tuned) == weights


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_module_that_the_task_trained_whole_is_repaired_where_it_is_used(family):
    leaf = "o_proj" if family == "llama" else "c_proj"
    config = peft.LoraConfig(
        r=4,
        target_modules=["q_proj" if family == "llama" else "c_attn"],
        modules_to_save=[leaf],
        fan_in_fan_out=family == "gpt2",
    )
    tuned, vector = _tuned(family, config), random_vector(tiny_model(family))
    ids, before = random_ids(tuned), weight_bytes(tuned)
    with attach(tuned, vector):
        attached = logits_of(tuned, ids)

    undo = merge_into(tuned, vector)

    assert torch.allclose(logits_of(tuned, ids), attached, atol=SAME)
    undo.undo()
    assert weight_bytes(tuned) == before


@pytest.mark.parametrize("saved", [True, False], ids=["published", "exported"])
@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_peft_loads_the_files_and_acts_like_attached(family, saved, tmp_path):
    """Warnings are errors in this suite: PEFT must have nothing to complain about."""
    model, vector = tiny_model(family), random_vector(tiny_model(family), rank=3)
    ids, place = random_ids(model), tmp_path / "vector"
    before = logits_of(model, ids)
    by_layer = None if saved else {0: 0.5, 1: 1.5}
    with attach(model, vector, by_layer):
        wanted = logits_of(model, ids)
    if saved:
        save_vector(vector, place, namespace="acme", name="guard", version="1.0.0")
    else:
        export_adapter(vector, place, coefficients=by_layer)

    loaded = peft.PeftModel.from_pretrained(model, str(place)).eval()

    assert _apart(wanted, before) > FAR
    assert torch.allclose(logits_of(loaded, ids), wanted, atol=SAME)
    unloaded = loaded.merge_and_unload()
    assert torch.allclose(logits_of(unloaded, ids), wanted, atol=SAME)
