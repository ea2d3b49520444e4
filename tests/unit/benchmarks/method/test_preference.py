"""The DPO row trains for real, on a tiny model."""

import copy
import sys

import pytest
import torch
from support.models import tiny_model, tiny_tokenizer, weight_bytes

from benchmarks.method.recipe import Ceilings
from benchmarks.method.rivals.preference import (
    make_trainer,
    preference_pairs,
    train_preferences,
)
from safegene.evaluation.rows import PromptRow
from safegene.vectors.chat import encode_pair

SAFE, OWN = "I can't help.", "Sure, here."
ROWS = tuple(PromptRow(f"prompt {at}", SAFE) for at in range(8))
PAIRS = preference_pairs(ROWS, [OWN] * len(ROWS))
SETTINGS = Ceilings(dpo_learning_rate=1e-3, dpo_batch_size=4)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def log_probability(model, tokenizer, prompt, answer):
    ids, start = encode_pair(tokenizer, prompt, answer)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    scores = torch.log_softmax(logits.float(), dim=-1)
    return sum(float(scores[at - 1, ids[at]]) for at in range(start, len(ids)))


def preferences(model, tokenizer):
    """How much likelier than the own answer the safe one is, prompt by prompt."""
    return [
        log_probability(model, tokenizer, row.prompt, SAFE)
        - log_probability(model, tokenizer, row.prompt, OWN)
        for row in ROWS
    ]


def test_the_safe_answer_is_preferred_more_after_training(tokenizer):
    model = tiny_model()
    before = preferences(model, tokenizer)

    train_preferences(model, tokenizer, PAIRS, SETTINGS, seed=0)

    after = preferences(model.eval(), tokenizer)
    gains = [late - early for early, late in zip(before, after, strict=True)]
    assert min(gains) > 0.1


def test_training_is_the_same_for_the_same_seed(tokenizer):
    first, again, other = (copy.deepcopy(tiny_model()) for _ in range(3))

    for model, seed in ((first, 0), (again, 0), (other, 1)):
        train_preferences(model, tokenizer, PAIRS, SETTINGS, seed=seed)

    assert weight_bytes(first) == weight_bytes(again)
    assert weight_bytes(first) != weight_bytes(other)


def test_nothing_but_the_weights_of_the_model_changes(tokenizer):
    """The generation config is the target's own, whose other rows stop by it."""
    model = tiny_model()
    model.generation_config.eos_token_id = 5
    generation = model.generation_config
    facts = generation.to_dict()

    train_preferences(model, tokenizer, PAIRS, SETTINGS, seed=0)

    assert model.generation_config is generation
    assert generation.to_dict() == facts
    assert model.forward.__func__ is type(model).forward


def test_the_pairs_are_written_nowhere(tokenizer, tmp_path):
    trainer = make_trainer(
        tiny_model(), tokenizer, PAIRS, settings=SETTINGS, seed=0, folder=tmp_path
    )

    trainer.train()

    assert len(trainer.train_dataset) == len(PAIRS)
    assert trainer.train_dataset.cache_files == []
    assert [*tmp_path.rglob("*")] == []


def test_without_trl_it_is_said_what_to_install(tokenizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)

    with pytest.raises(RuntimeError, match=r"pip install -e '\.\[torch,bench\]'"):
        train_preferences(tiny_model(), tokenizer, PAIRS, SETTINGS, seed=0)
