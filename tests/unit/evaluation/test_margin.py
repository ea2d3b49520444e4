import pytest
import torch
from support.models import FAMILIES, tiny_model, tiny_tokenizer

from safegene.evaluation.margin import opener_margin
from safegene.evaluation.openers import COMPLIANCE_OPENERS, REFUSAL_OPENERS
from safegene.vectors.chat import encode_prompt, encode_response

PROMPTS = ["hi", "a rather long prompt for so small a model", "middling"]
# Float32 sums in another order; margins are of the order of one.
TOLERANCE = 2e-4


def reference_margin(model, tokenizer, prompt):
    """One full pass per opener, in float64 from the logits on."""
    head = encode_prompt(tokenizer, prompt)

    def score(opener):
        tail = encode_response(tokenizer, opener)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([head + tail])).logits[0].double()
        chosen = logits.log_softmax(-1)[len(head) - 1 : -1]
        return chosen.gather(-1, torch.tensor(tail)[:, None]).mean().item()

    refusal = sum(map(score, REFUSAL_OPENERS)) / len(REFUSAL_OPENERS)
    return refusal - sum(map(score, COMPLIANCE_OPENERS)) / len(COMPLIANCE_OPENERS)


@pytest.mark.parametrize("family", FAMILIES)
def test_sharing_the_prompts_cache_changes_no_figure(family):
    model, tokenizer = tiny_model(family, initializer_range=0.3), tiny_tokenizer()

    margins = opener_margin(model, tokenizer, PROMPTS, batch_size=2)

    expected = [reference_margin(model, tokenizer, prompt) for prompt in PROMPTS]
    assert margins == pytest.approx(expected, abs=TOLERANCE)


def test_a_model_that_refuses_leans_to_refusal(learned):
    margins = opener_margin(learned.model, learned.tokenizer, ["harm one", "look one"])

    assert margins[0] > margins[1] + 0.5


def test_there_are_eight_openers_of_each_kind():
    assert len(set(REFUSAL_OPENERS)) == len(set(COMPLIANCE_OPENERS)) == 8


def test_progress_counts_prompts():
    seen = []

    opener_margin(
        tiny_model(),
        tiny_tokenizer(),
        PROMPTS,
        batch_size=2,
        progress=lambda done, total: seen.append((done, total)),
    )

    assert seen == [(2, 3), (3, 3)]
