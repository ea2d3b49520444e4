import pytest

from safegene.errors import InvalidDataError
from safegene.evaluation.accuracy import (
    answered_correctly,
    classify_prompts,
    matched_label,
    task_labels,
)
from safegene.evaluation.rows import PromptRow

LABELS = ("billing", "delivery", "Sci/Tech", "World", "World Cup")


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        pytest.param("billing", "billing", id="exact"),
        pytest.param(" **Billing**.", "billing", id="case and marks"),
        pytest.param("Delivery, because it is late", "delivery", id="and more"),
        pytest.param("sci/tech\n", "Sci/Tech", id="mark inside"),
        pytest.param("World Cup", "World Cup", id="the longer of two"),
        pytest.param("worldly", None, id="longer word"),
        pytest.param("It is billing", None, id="not at the start"),
        pytest.param("", None, id="empty"),
    ],
)
def test_an_answer_counts_for_the_label_it_begins_with(answer, label):
    assert matched_label(answer, LABELS) == label


def test_the_model_is_scored_on_what_it_says(learned):
    right = learned.rows("ticket")
    wrong = (PromptRow("ticket: card", label="delivery"),)

    scored = answered_correctly(
        learned.model, learned.tokenizer, right + wrong, task_labels(right)
    )

    assert scored == [True, True, False]


def test_an_answer_that_is_no_label_is_none(learned):
    given = classify_prompts(
        learned.model, learned.tokenizer, ["harm one"], ["billing", "delivery"]
    )

    assert given == [None]


def test_labels_are_those_that_occur():
    rows = [PromptRow("a", label="y"), PromptRow("b", label="x"), PromptRow("c")]

    assert task_labels(rows) == ("x", "y")


@pytest.mark.parametrize(
    ("label", "told"),
    [
        pytest.param(None, r'\(t7\) has no label: .* a key "label"', id="none"),
        pytest.param(" ", r'\(t7\) has no label: .* a key "label"', id="blank"),
        pytest.param(
            "other", r"\(t7\): expected a label of billing, found other; ", id="unknown"
        ),
    ],
)
def test_a_row_without_a_known_label_is_refused_by_name(learned, label, told):
    rows = [PromptRow("a", label="billing"), PromptRow("b", label=label, id="t7")]

    with pytest.raises(InvalidDataError, match=f"^task row 2 {told}"):
        answered_correctly(learned.model, learned.tokenizer, rows, ["billing"])


def test_without_labels_there_is_no_accuracy(learned):
    with pytest.raises(InvalidDataError, match="needs labels"):
        classify_prompts(learned.model, learned.tokenizer, ["harm one"], [])
