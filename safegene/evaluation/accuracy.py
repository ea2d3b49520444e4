"""Accuracy on a classification task: does the answer begin with the right label?

The model answers greedily in a few tokens; the answer counts for the label it begins
with, whatever the case and the marks around it.
"""

from collections.abc import Collection, Sequence
from typing import Any

from safegene.errors import InvalidDataError
from safegene.evaluation.generation import BATCH_SIZE, Progress, generate_answers
from safegene.evaluation.outcomes import normalize_label, starts_with_label
from safegene.evaluation.rows import PromptRow, prompts_of

SPARE_TOKENS = 2
"""Beyond the longest label: one for a leading space or mark, one for the end."""


def task_labels(rows: Sequence[PromptRow]) -> tuple[str, ...]:
    """The labels that occur in task rows, sorted."""
    return tuple(sorted({row.label for row in rows if row.label is not None}))


def require_labels(rows: Sequence[PromptRow], labels: Collection[str]) -> None:
    """Refuse task rows whose answers could not be scored.

    Args:
        rows: of the task.
        labels: that there are.

    Raises:
        InvalidDataError: a row has no label, or one that is not among the labels; the
            message names the row.
    """
    for number, row in enumerate(rows, 1):
        label = row.label or ""
        blank = not normalize_label(label)
        if label in labels and not blank:
            continue
        name = f"task row {number} ({row.key})"
        if blank:
            detail = (
                f'{name} has no label: give every row of the task a key "label" with'
                " the right answer"
            )
        else:
            detail = (
                f"{name}: expected a label of {', '.join(sorted(labels))}, found"
                f" {label}; correct the row or add the label to the task's"
            )
        raise InvalidDataError(detail, row=row.key, number=number)


def matched_label(answer: str, labels: Collection[str]) -> str | None:
    """The label an answer begins with, the longest where several fit, else None."""
    normalized = normalize_label(answer)
    fitting = [
        label
        for label in labels
        if starts_with_label(normalized, normalize_label(label))
    ]
    return max(fitting, key=len, default=None)


def classify_prompts(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    labels: Collection[str],
    *,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> list[str | None]:
    """The label the model gives each prompt, None where it gives none.

    Raises:
        InvalidDataError: there are no labels.
    """
    if not labels:
        detail = "task accuracy needs labels: expected at least one, found none"
        raise InvalidDataError(detail)
    longest = max(
        len(tokenizer.encode(label, add_special_tokens=False)) for label in labels
    )
    answers = generate_answers(
        model,
        tokenizer,
        prompts,
        max_new_tokens=longest + SPARE_TOKENS,
        batch_size=batch_size,
        progress=progress,
    )
    return [matched_label(answer, labels) for answer in answers]


def answered_correctly(
    model: Any,
    tokenizer: Any,
    rows: Sequence[PromptRow],
    labels: Collection[str],
    *,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> list[bool]:
    """Whether the model gives each row its label.

    Raises:
        InvalidDataError: a row has no label, or one that is not among the labels.
    """
    require_labels(rows, labels)
    given = classify_prompts(
        model,
        tokenizer,
        prompts_of(rows),
        labels,
        batch_size=batch_size,
        progress=progress,
    )
    return [label == row.label for label, row in zip(given, rows, strict=True)]
