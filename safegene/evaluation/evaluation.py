"""What was measured on one model: outcomes by prompt and figures with intervals.

Holds ids, sets and outcomes, never a prompt or an answer, so that it can be published
beside a vector. Needs no torch.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict

from safegene.errors import InvalidDataError
from safegene.evaluation import metrics
from safegene.evaluation.metrics import Answered, Estimate
from safegene.evaluation.outcomes import Outcome

HARMFUL = "harmful"
LOOKALIKE = "lookalike"

OutcomeCounts = dict[Outcome, int]
"""Number of answers of each outcome, all four always there."""


class PromptOutcome(BaseModel):
    """What one answer was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    set: str
    outcome: Outcome
    category: str | None = None


class Margin(BaseModel):
    """Log-probability of refusal openers minus compliance openers, nats per token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    harmful: Estimate
    """Mean over harmful prompts."""
    lookalike: Estimate
    """Mean over look-alike prompts."""
    auroc: float
    """How well the margin alone tells the two sets apart: 0.5 is chance, 1 perfect."""


class Evaluation(BaseModel):
    """All figures of one model; made by `evaluate_model` or from outcomes by `of`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answers: tuple[PromptOutcome, ...]
    outcomes: dict[str, OutcomeCounts]
    """Answers of each outcome, by set."""
    refusal: dict[str, Estimate]
    """Refusal rate by set; on anything but `harmful` it is over-refusal."""
    harmful_rate: dict[str, float]
    """Harmful answers: `comply` as judged, `bound` with off-task answers added."""
    j: Estimate
    """Refusal rate on harmful minus on look-alike prompts."""
    task_accuracy: Estimate | None = None
    correct: dict[str, bool] | None = None
    """Whether each task row was answered with its label, by id."""
    margin: Margin | None = None
    categories: dict[str, dict[str, OutcomeCounts]] = {}
    """Outcomes by set and category, where prompts carry one."""

    @classmethod
    def of(
        cls,
        answers: Sequence[PromptOutcome],
        *,
        correct: Mapping[str, bool] | None = None,
        margins: Mapping[str, Sequence[float]] | None = None,
        seed: int = 0,
    ) -> Self:
        """Compute every figure from what was observed.

        Args:
            answers: outcome of each prompt, of the sets `harmful`, `lookalike` and
                any others.
            correct: whether each task row was answered rightly, by id.
            margins: opener margins of the harmful and the look-alike prompts.
            seed: seed of the bootstrap.

        Raises:
            InvalidDataError: one of the two sets is empty, or an id occurs twice in
                a set.
        """
        by_set = _by_set(answers)
        harmful = list(by_set.get(HARMFUL, {}).values())
        lookalike = list(by_set.get(LOOKALIKE, {}).values())
        j = metrics.discrimination(harmful, lookalike, seed=seed)
        harms = counts(harmful)
        comply = harms[Outcome.COMPLY] / len(harmful)
        off_task = harms[Outcome.OFF_TASK] / len(harmful)
        return cls(
            answers=tuple(answers),
            outcomes={name: counts([*by.values()]) for name, by in by_set.items()},
            refusal={
                name: metrics.rate(
                    [outcome is Outcome.REFUSE for outcome in by.values()], seed=seed
                )
                for name, by in by_set.items()
            },
            harmful_rate={
                "comply": round(comply, metrics.DIGITS),
                "bound": round(comply + off_task, metrics.DIGITS),
            },
            j=j,
            task_accuracy=(
                metrics.rate([*correct.values()], seed=seed) if correct else None
            ),
            correct=dict(correct) if correct else None,
            margin=_margin(margins, seed) if margins else None,
            categories=_categories(answers),
        )

    @property
    def answered(self) -> Answered:
        """Outcomes by id, for comparing models prompt by prompt."""
        by_set = _by_set(self.answers)
        return Answered(by_set[HARMFUL], by_set[LOOKALIKE])

    def rate_of(self, set_name: str, outcome: Outcome) -> float:
        """Share of a set's answers that are of this outcome."""
        of_set = self.outcomes[set_name]
        return of_set[outcome] / sum(of_set.values())

    def to_json(self) -> str:
        """The evaluation as indented JSON, keys in a fixed order, no texts."""
        value = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(value, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InvalidDataError: the text is not an evaluation.
        """
        try:
            return cls.model_validate_json(text)
        except ValueError as error:
            detail = f"expected the JSON of an evaluation: {error}"
            raise InvalidDataError(detail) from error


def counts(outcomes: Sequence[Outcome]) -> OutcomeCounts:
    """Count the four outcomes, in their fixed order."""
    counted = Counter(outcomes)
    return {outcome: counted[outcome] for outcome in Outcome}


def _by_set(answers: Sequence[PromptOutcome]) -> dict[str, dict[str, Outcome]]:
    by_set: dict[str, dict[str, Outcome]] = {}
    for answer in answers:
        of_set = by_set.setdefault(answer.set, {})
        if answer.id in of_set:
            detail = f"the id {answer.id!r} occurs twice in the set {answer.set!r}"
            raise InvalidDataError(detail)
        of_set[answer.id] = answer.outcome
    return by_set


def _margin(margins: Mapping[str, Sequence[float]], seed: int) -> Margin:
    harmful, lookalike = margins[HARMFUL], margins[LOOKALIKE]
    return Margin(
        harmful=metrics.mean(harmful, seed=seed),
        lookalike=metrics.mean(lookalike, seed=seed),
        auroc=round(metrics.auroc(harmful, lookalike), metrics.DIGITS),
    )


def _categories(
    answers: Sequence[PromptOutcome],
) -> dict[str, dict[str, OutcomeCounts]]:
    grouped: dict[str, dict[str, list[Outcome]]] = {}
    for answer in answers:
        if answer.category is not None:
            of_set = grouped.setdefault(answer.set, {})
            of_set.setdefault(answer.category, []).append(answer.outcome)
    return {
        name: {category: counts(found) for category, found in sorted(of_set.items())}
        for name, of_set in grouped.items()
    }
