import pytest
import torch
from support.models import ALL_FAMILIES, changed, tiny_model, tiny_tokenizer

from safegene.errors import InvalidDataError, UsageError
from safegene.evaluation.divergence import recorded_reference
from safegene.vectors.chat import encode_prompt

PROMPTS = {"task": ["hi", "a longer prompt", "?"], "ordinary": ["one more"], "no": []}
TOKENS = 5


def plain_divergence(reference, model, tokenizer, prompt):
    """KL in float64, a full forward pass for every token, nothing stored."""
    ids, kls = encode_prompt(tokenizer, prompt), []
    while True:
        with torch.no_grad():
            wanted, got = (
                each(input_ids=torch.tensor([ids]))
                .logits[0, -1]
                .double()
                .log_softmax(-1)
                for each in (reference, model)
            )
        kls.append(float((wanted.exp() * (wanted - got)).sum()))
        token = int(wanted.argmax())
        if token == tokenizer.eos_token_id or len(kls) > TOKENS:
            return sum(kls) / len(kls)
        ids.append(token)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_divergence_is_that_of_the_plain_definition(family):
    reference, tokenizer = tiny_model(family, initializer_range=0.3), tiny_tokenizer()
    model = changed(reference, scale=0.2)

    with recorded_reference(
        reference, tokenizer, PROMPTS, answer_tokens=TOKENS, batch_size=2
    ) as recorded:
        found = recorded.divergence(model, batch_size=2)

    assert set(found) == {"task", "ordinary"}
    for name, estimate in found.items():
        expected = [
            plain_divergence(reference, model, tokenizer, prompt)
            for prompt in PROMPTS[name]
        ]
        # Half precision on disk: three digits of every log-probability.
        assert estimate.value == pytest.approx(sum(expected) / len(expected), rel=2e-3)
        assert estimate.value > 0.001
        assert estimate.n == len(expected)


def test_the_reference_does_not_diverge_from_itself():
    model, tokenizer = tiny_model(initializer_range=0.3), tiny_tokenizer()

    with recorded_reference(model, tokenizer, PROMPTS) as recorded:
        found = recorded.divergence(model)

    assert all(0 <= estimate.value < 1e-6 for estimate in found.values())


def test_nothing_stays_on_disk():
    with recorded_reference(tiny_model(), tiny_tokenizer(), PROMPTS) as recorded:
        paths = [stored.path for stored in recorded.sets.values()]
        assert all(path.is_file() for path in paths)

    assert not any(path.exists() for path in paths)


def test_models_of_another_vocabulary_are_refused():
    with (
        recorded_reference(tiny_model(), tiny_tokenizer(), PROMPTS) as recorded,
        pytest.raises(InvalidDataError, match=r"expected 264 entries .* got 300"),
    ):
        recorded.divergence(tiny_model(vocab_size=300))


def test_a_broken_model_has_no_divergence():
    broken = tiny_model()
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))

    with (
        recorded_reference(tiny_model(), tiny_tokenizer(), PROMPTS) as recorded,
        pytest.raises(InvalidDataError, match="not a finite number"),
    ):
        recorded.divergence(broken)


def test_an_answer_needs_a_token():
    with (
        pytest.raises(UsageError, match="at least 1 answer token"),
        recorded_reference(tiny_model(), tiny_tokenizer(), {}, answer_tokens=0),
    ):
        pass
