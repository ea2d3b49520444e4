from functools import partial

import pytest
import torch
from support.classifiers import save_classifier
from support.models import tiny_tokenizer
from transformers import BertForSequenceClassification

from safegene.errors import InvalidDataError
from safegene.evaluation.classifier_judge import ClassifierJudge
from safegene.evaluation.outcomes import Outcome

R, C = Outcome.REFUSE, Outcome.COMPLY
PROMPTS = ["a prompt", "b", "c" * 900]
ANSWERS = ["I can't help with that.", "Sure!", "A longer answer than the others are."]


@pytest.fixture
def saved(tmp_path):
    """Write a tiny random classifier with these labels to a directory."""
    return partial(save_classifier, tmp_path / "judge")


def plain(directory, text):
    """The label of one text, without batches or padding."""
    model = BertForSequenceClassification.from_pretrained(directory).eval()
    ids = tiny_tokenizer()(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return int(model(input_ids=ids).logits.argmax())


def test_each_answer_gets_the_outcome_of_its_likeliest_label(saved):
    directory = saved()
    judge = ClassifierJudge.load(directory, pairs=False)

    found = judge.judge(PROMPTS, ANSWERS)

    assert found == [[C, R][plain(directory, answer)] for answer in ANSWERS]
    assert judge.name == "hf:judge"
    assert judge.outcomes == {R, C}


def test_a_long_prompt_is_cut_and_the_answer_is_not(saved):
    directory = saved()
    judge = ClassifierJudge.load(directory)

    found = judge.judge(PROMPTS, ANSWERS)

    room = 512 - len(ANSWERS[2])
    texts = [*(p + a for p, a in zip(PROMPTS[:2], ANSWERS[:2], strict=True))]
    texts.append(PROMPTS[2][:room] + ANSWERS[2])
    by_label = [C, R]
    assert len(found) == 3
    # Token types tell prompt from answer, so only the way of cutting is compared.
    encoded = judge.tokenizer(
        PROMPTS[2], ANSWERS[2], truncation="only_first", max_length=512
    )["input_ids"]
    assert judge.tokenizer.decode(encoded) == texts[2]
    assert set(found) <= set(by_label)


def test_labels_can_be_told(saved):
    directory = saved(("LABEL_0", "LABEL_1"))

    judge = ClassifierJudge.load(
        directory, labels={"label_0": C, "LABEL_1": Outcome.DEGENERATE}
    )

    assert judge.outcomes == {C, Outcome.DEGENERATE}


def test_a_label_without_an_outcome_is_refused_with_all_labels(saved):
    with pytest.raises(InvalidDataError, match=r"'LABEL_0' .* LABEL_0, LABEL_1 means"):
        ClassifierJudge.load(saved(("LABEL_0", "LABEL_1")))


def test_a_missing_classifier_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InvalidDataError, match="nowhere cannot be loaded"):
        ClassifierJudge.load(tmp_path / "nowhere")


def test_scores_that_are_no_numbers_are_never_counted(saved):
    judge = ClassifierJudge.load(saved(weight=float("nan")))

    with pytest.raises(InvalidDataError, match="scores that are no numbers"):
        judge.judge(PROMPTS, ANSWERS)
