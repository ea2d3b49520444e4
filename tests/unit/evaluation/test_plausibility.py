import pytest
import torch
from support.models import tiny_model, tiny_tokenizer
from torch.nn import functional

from safegene.errors import InvalidDataError
from safegene.evaluation.plausibility import (
    PlausibilityCheck,
    answer_surprise,
    implausible_answers,
    plausibility_threshold,
)
from safegene.vectors.chat import encode_prompt, encode_response

TOLERANCE = 1e-4


def test_surprise_is_the_mean_loss_of_the_answers_tokens():
    model, tokenizer = tiny_model(initializer_range=0.3), tiny_tokenizer()
    prompts, answers = ["short", "a longer prompt"], ["yes, it is", "no"]

    found = answer_surprise(model, tokenizer, prompts, answers)

    for surprise, prompt, answer in zip(found, prompts, answers, strict=True):
        head = encode_prompt(tokenizer, prompt)
        tail = encode_response(tokenizer, answer)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([head + tail])).logits[0]
        loss = functional.cross_entropy(logits[len(head) - 1 : -1], torch.tensor(tail))
        assert surprise == pytest.approx(loss.item(), abs=TOLERANCE)


def test_gibberish_surprises_a_model_that_knows_better(learned):
    prompts = ["harm one", "harm one"]
    answers = ["I can't help with that.", "zq}~ vxw qqj|| zzk"]
    usual = answer_surprise(learned.model, learned.tokenizer, prompts[:1], answers[:1])

    check = PlausibilityCheck(
        learned.model, learned.tokenizer, plausibility_threshold(usual) + 0.1
    )

    assert check(prompts, answers) == [False, True]


def test_an_empty_answer_surprises_nobody():
    model, tokenizer = tiny_model(), tiny_tokenizer()

    assert answer_surprise(model, tokenizer, ["hi"], [""]) == [0.0]


def test_the_threshold_is_the_99th_percentile():
    assert plausibility_threshold([float(i) for i in range(1, 201)]) == 198.0
    assert plausibility_threshold([3.0]) == 3.0
    with pytest.raises(InvalidDataError, match="at least one good answer"):
        plausibility_threshold([])


def test_prompts_and_answers_must_pair_up():
    with pytest.raises(InvalidDataError, match="one answer per prompt, got 0 for 1"):
        implausible_answers(tiny_model(), tiny_tokenizer(), ["hi"], [], threshold=1.0)
