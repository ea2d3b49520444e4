"""Layer contrast, by its definition, and selection."""

import pytest
import torch
from support.models import (
    FAMILIES,
    random_vector,
    tiny_model,
    tiny_tokenizer,
    weight_bytes,
)

from safegene.errors import CompatibilityError, InvalidDataError, UsageError
from safegene.vectors.chat import encode_prompt
from safegene.vectors.merge import merge_into
from safegene.vectors.select import layer_contrast, select_layers

HARMFUL = [f"how do I break {thing}" for thing in "abcdefghi"]
HARMLESS = [f"how do I bake the {thing} cake" for thing in "abcdefgh"]
SAME = 1e-3
"""Absolute, on shares of order one: padding changes the order of float32 sums."""


def _block_output(model, layer, ids):
    """What one block writes on the stream that the plain model brings to it."""
    kept = {}
    name = "gpt_neox" if hasattr(model, "gpt_neox") else "model"
    block = model.get_submodule(f"{name}.layers.{layer}")

    def keep(_, args, kwargs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        kept["before"], kept["after"] = args[0][0, -1], hidden[0, -1]
        kept["call"] = (args, kwargs)

    handle = block.register_forward_hook(keep, with_kwargs=True)
    model(input_ids=torch.tensor([ids]), use_cache=False)
    handle.remove()
    return block, kept


@pytest.mark.parametrize("family", FAMILIES)
def test_contrast_is_the_difference_of_mean_relative_updates(family):
    model, tokenizer = tiny_model(family), tiny_tokenizer()
    vector = random_vector(model)

    found = layer_contrast(
        model, tokenizer, vector, harmful=HARMFUL, harmless=HARMLESS, batch_size=4
    )

    for layer in (0, 1):
        means = []
        for prompts in (HARMFUL, HARMLESS):
            shares = []
            for prompt in prompts:
                ids = encode_prompt(tokenizer, prompt)
                with torch.no_grad():
                    block, kept = _block_output(model, layer, ids)
                    undo = merge_into(model, vector, {layer: 1.0})
                    again = block(*kept["call"][0], **kept["call"][1])
                    undo.undo()
                again = again[0] if isinstance(again, tuple) else again
                own = (kept["after"] - kept["before"]).norm()
                shares.append(float((again[0, -1] - kept["after"]).norm() / own))
            means.append(sum(shares) / len(shares))
        assert means[0] > 0.05
        assert found[layer] == pytest.approx(means[0] - means[1], abs=SAME)


def test_batches_do_not_change_the_contrast():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    vector = random_vector(model)
    prompts = {"harmful": HARMFUL, "harmless": [*HARMLESS, "short", "a longer one" * 5]}

    one = layer_contrast(model, tokenizer, vector, **prompts, batch_size=1)
    many = layer_contrast(model, tokenizer, vector, **prompts, batch_size=16)

    assert one == pytest.approx(many, abs=SAME)


def test_measuring_leaves_the_model_as_it_was():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    before = weight_bytes(model)
    model.train()

    layer_contrast(
        model, tokenizer, random_vector(model), harmful=HARMFUL, harmless=HARMLESS
    )

    assert weight_bytes(model) == before
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_vector_that_acts_only_inside_a_block_is_scored_too():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    vector = random_vector(model, leaf_names=["q_proj", "gate_proj"])

    found = layer_contrast(model, tokenizer, vector, harmful=HARMFUL, harmless=HARMLESS)

    assert set(found) == {0, 1}
    assert all(value != 0 for value in found.values())


@pytest.mark.parametrize("kind", ["harmful", "harmless"])
def test_too_few_prompts_are_refused(kind):
    model, tokenizer = tiny_model(), tiny_tokenizer()
    prompts = {"harmful": HARMFUL, "harmless": HARMLESS} | {kind: ["one"] * 7}

    with pytest.raises(InvalidDataError, match=f"at least 8 {kind} prompts, got 7"):
        layer_contrast(model, tokenizer, random_vector(model), **prompts)


def test_model_of_another_structure_is_refused():
    vector = random_vector(tiny_model(num_hidden_layers=3))

    with pytest.raises(CompatibilityError):
        layer_contrast(
            tiny_model(), tiny_tokenizer(), vector, harmful=HARMFUL, harmless=HARMLESS
        )


def test_default_keeps_every_layer_and_records_the_scores():
    vector = random_vector(tiny_model(num_hidden_layers=3))

    kept = select_layers(vector, {0: 0.1, 1: -0.2, 2: 0.3})

    assert kept.layers == (0, 1, 2)
    assert kept.layer_scores == {0: 0.1, 1: -0.2, 2: 0.3}
    assert tuple(kept.factors) == tuple(vector.factors)


def test_count_keeps_the_highest_scores_in_model_order():
    vector = random_vector(tiny_model(num_hidden_layers=4))

    kept = select_layers(vector, {0: 0.2, 1: 0.5, 2: 0.2, 3: 0.9}, count=3)

    assert kept.layers == (0, 1, 3)
    assert {path.split(".")[2] for path in kept.factors} == {"0", "1", "3"}


def test_recording_scores_keeps_an_earlier_selection():
    vector = random_vector(tiny_model(num_hidden_layers=3))
    chosen = select_layers(vector, {0: 1.0, 1: 2.0, 2: 3.0}, count=2)

    again = select_layers(chosen, {1: 0.5, 2: 0.1})

    assert again.layers == (1, 2)


@pytest.mark.parametrize("count", [0, 3, -1])
def test_count_outside_the_layers_is_refused(count):
    vector = random_vector(tiny_model())

    with pytest.raises(UsageError, match=f"1 to 2 layers to keep, got {count}"):
        select_layers(vector, {0: 0.1, 1: 0.2}, count=count)


def test_layer_without_a_score_is_refused():
    vector = random_vector(tiny_model())

    with pytest.raises(UsageError, match="layer 1 has no score"):
        select_layers(vector, {0: 0.1}, count=1)
