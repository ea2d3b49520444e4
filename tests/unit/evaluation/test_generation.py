import pytest
import torch
from support.models import ALL_FAMILIES, random_vector, tiny_model, tiny_tokenizer

from safegene.errors import UsageError
from safegene.evaluation.batches import inference, sorted_batches, stop_ids_of
from safegene.evaluation.generation import generate_answers
from safegene.vectors.attach import attach
from safegene.vectors.chat import encode_prompt

PROMPTS = ["hi", "a rather long prompt for so small a model", "middling one", "hi", "?"]
NEW_TOKENS = 8


def reference_answer(model, tokenizer, prompt):
    """Greedy decoding in its plainest form: no cache, no batch, no padding."""
    ids = encode_prompt(tokenizer, prompt)
    start = len(ids)
    while len(ids) - start < NEW_TOKENS:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits
        token = int(logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            break
        ids.append(token)
    return tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_answers_are_those_of_plain_greedy_decoding(family):
    model, tokenizer = tiny_model(family, initializer_range=0.3), tiny_tokenizer()

    answers = generate_answers(
        model, tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS, batch_size=3
    )

    assert answers == [reference_answer(model, tokenizer, text) for text in PROMPTS]
    assert answers[0] == answers[3]


def test_a_sliding_window_shorter_than_the_prompt_is_respected():
    model = tiny_model("mistral", initializer_range=0.3, sliding_window=6)
    tokenizer = tiny_tokenizer()

    answers = generate_answers(model, tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS)

    assert answers == [reference_answer(model, tokenizer, text) for text in PROMPTS]


def test_rows_that_stop_leave_the_others_undisturbed(learned):
    prompts = list(learned.answers)

    answers = generate_answers(learned.model, learned.tokenizer, prompts)

    assert answers == list(learned.answers.values())


def test_bfloat16_models_answer_the_same_every_time(learned):
    model = tiny_model("llama", dtype=torch.bfloat16, initializer_range=0.3)

    first, second = (
        generate_answers(model, learned.tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS)
        for _ in range(2)
    )

    assert first == second
    assert any(first)


def test_nothing_is_printed_whatever_the_model_configured(capfd):
    model, tokenizer = tiny_model(), tiny_tokenizer()
    model.generation_config.temperature = 0.7
    model.generation_config.top_p = 0.9

    generate_answers(model, tokenizer, PROMPTS, max_new_tokens=2)

    assert capfd.readouterr() == ("", "")


def test_what_is_attached_takes_part():
    model, tokenizer = tiny_model(initializer_range=0.3), tiny_tokenizer()
    before = generate_answers(model, tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS)

    with attach(model, random_vector(model, scale=1.0)):
        during = generate_answers(model, tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS)
    after = generate_answers(model, tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS)

    assert during != before
    assert after == before


def test_a_tokenizer_without_a_template_serves_too():
    model, tokenizer = tiny_model(), tiny_tokenizer(chat=False)

    answers = generate_answers(model, tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS)

    assert answers == [reference_answer(model, tokenizer, text) for text in PROMPTS]


def test_progress_counts_prompts_batch_by_batch():
    seen = []

    generate_answers(
        tiny_model(),
        tiny_tokenizer(),
        PROMPTS,
        max_new_tokens=1,
        batch_size=2,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_no_prompts_make_no_answers():
    assert generate_answers(tiny_model(), tiny_tokenizer(), []) == []


@pytest.mark.parametrize("options", [{"max_new_tokens": 0}, {"batch_size": 0}])
def test_impossible_sizes_are_refused(options):
    with pytest.raises(UsageError, match="at least 1"):
        generate_answers(tiny_model(), tiny_tokenizer(), PROMPTS, **options)


def test_batches_hold_similar_lengths_longest_first():
    sequences = [[0] * n for n in (3, 9, 1, 8)]

    assert list(sorted_batches(sequences, 2)) == [[1, 3], [0, 2]]


def test_a_model_in_training_goes_back_to_it():
    model = tiny_model().train()

    with inference(model):
        assert not model.training
        assert torch.is_inference_mode_enabled()

    assert model.training


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        pytest.param(None, {2}, id="only the tokenizer's"),
        pytest.param(7, {2, 7}, id="one more"),
        pytest.param([7, 8], {2, 7, 8}, id="several more"),
    ],
)
def test_answers_stop_where_tokenizer_or_model_say(configured, expected):
    model, tokenizer = tiny_model(), tiny_tokenizer()
    model.generation_config.eos_token_id = configured

    assert stop_ids_of(model, tokenizer) == expected
