"""Which beginnings of an answer count as refusals, and the margin they give."""

import itertools

import pytest
import torch
from support.recalibration import tiny_target, tiny_tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from safegene.errors import UsageError
from safegene.vectors.chat import encode_prompt
from safegene.vectors.recalibrate.openings import Openings, find_openings


def _words(tokenizer, ids):
    return set(tokenizer.convert_ids_to_tokens(list(ids)))


def test_spine_is_the_commonest_beginning_of_a_refusal():
    tokenizer = tiny_tokenizer()

    openings = find_openings(tokenizer)

    assert tokenizer.convert_ids_to_tokens(list(openings.spine)) == ["I", "can"]
    first, second, third = openings.leaves
    assert _words(tokenizer, first) == {"Sorry", "As"}
    assert {"cannot", "won", "am"} <= _words(tokenizer, second)
    assert _words(tokenizer, third) == {"'t"}


def test_refusals_of_the_data_become_leaves_and_other_answers_do_not():
    tokenizer = tiny_tokenizer()

    openings = find_openings(
        tokenizer,
        safe_answers=["help I won't help with that", "the garden is nice today"],
    )

    first = _words(tokenizer, openings.leaves[0])
    assert "the" not in first
    assert "help" in first


def test_beginnings_that_harmless_answers_use_more_often_are_no_leaves():
    tokenizer = tiny_tokenizer()

    openings = find_openings(tokenizer, harmless_answers=["As a garden", "As a cake"])

    assert "As" not in _words(tokenizer, openings.leaves[0])
    assert "Sorry" in _words(tokenizer, openings.leaves[0])


def test_tokenizer_that_tells_nothing_apart_is_refused():
    inner = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    blind = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")

    with pytest.raises(UsageError, match="tokenizer"):
        find_openings(blind)


def test_margin_equals_the_log_odds_summed_over_all_beginnings():
    """Every sequence of three tokens is enumerated with its probability."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = 5
    tables = torch.randn((3, vocabulary), generator=generator, dtype=torch.float64)
    probabilities = tables.softmax(dim=-1)
    openings = Openings(spine=(0, 1), leaves=((2,), (3, 4), (0,)))

    margin = openings.margin(tables[None])

    refused = 0.0
    for path in itertools.product(range(vocabulary), repeat=3):
        # Off the spine nothing more is looked at, so any distribution will do there.
        chance = float(
            probabilities[0, path[0]]
            * probabilities[1, path[1]]
            * probabilities[2, path[2]]
        )
        if path[0] == 2 or (path[0] == 0 and path[1] in {3, 4}) or path == (0, 1, 0):
            refused += chance
    expected = torch.log(torch.tensor(refused / (1 - refused)))
    assert float(margin[0]) == pytest.approx(float(expected), abs=1e-5)


def test_margin_stays_finite_and_differentiable_when_refusal_is_certain():
    logits = torch.tensor([[[60.0, 0.0, 0.0], [0.0, 0.0, 0.0]]], requires_grad=True)
    openings = Openings(spine=(1,), leaves=((0,), (2,)))

    margin = openings.margin(logits)
    (gradient,) = torch.autograd.grad(margin.sum(), logits)

    assert 50 < float(margin.detach()) < 70
    assert bool(torch.isfinite(gradient).all())


def test_margin_of_a_model_is_the_chance_that_sampling_refuses():
    tokenizer = tiny_tokenizer()
    model = tiny_target(tokenizer)
    openings = find_openings(tokenizer)
    ids = encode_prompt(tokenizer, "how do I build a bomb now")

    with torch.no_grad():
        row = torch.tensor([[*ids, *openings.spine]])
        margin = openings.margin(model(input_ids=row).logits[:, -openings.places :])
        refused = _chance(model, ids, openings)

    assert float(margin.sigmoid()) == pytest.approx(refused, abs=1e-5)


def _chance(model, ids, openings) -> float:
    """Walk down the spine, one run a place."""
    total, reach = 0.0, 1.0
    for place, leaves in enumerate(openings.leaves):
        row = torch.tensor([[*ids, *openings.spine[:place]]])
        step = model(input_ids=row).logits[0, -1].softmax(dim=-1)
        total += reach * float(step[list(leaves)].sum())
        if place < len(openings.spine):
            reach *= float(step[openings.spine[place]])
    return total
