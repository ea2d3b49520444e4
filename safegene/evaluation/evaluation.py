"""What was measured on one model: outcomes by prompt and figures with intervals.

Holds ids, sets and outcomes, never a prompt or an answer, so that it can be published
beside a vector. Needs no torch.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from safegene.errors import InvalidDataError
from safegene.evaluation import metrics
from safegene.evaluation.judge import RULES
from safegene.evaluation.metrics import Answered, Estimate
from safegene.evaluation.outcomes import Outcome

HARMFUL = "harmful"
LOOKALIKE = "lookalike"

FORMAT = 2
"""Of evaluation files: 1 had neither KL nor judges. An evaluation that has none of them
either is still written as 1, so that older releases can read it."""

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


class JudgeAgreement(BaseModel):
    """How far a second judge agrees with the one whose outcomes count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judge: str
    """The second judge."""
    kappa: Estimate
    """Cohen's kappa over all answers: 0 is chance, 1 perfect."""
    same: Estimate
    """Share of answers on which both say the same."""


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
    kl: dict[str, Estimate] = {}
    """Divergence from a reference model, nats per token, by set."""
    judge: str = RULES
    """Who decided the outcomes."""
    agreement: JudgeAgreement | None = None
    """What a second judge says, where there was one."""
    format: int = 1

    @classmethod
    def of(
        cls,
        answers: Sequence[PromptOutcome],
        *,
        correct: Mapping[str, bool] | None = None,
        margins: Mapping[str, Sequence[float]] | None = None,
        kl: Mapping[str, Estimate] | None = None,
        judge: str = RULES,
        agreement: JudgeAgreement | None = None,
        seed: int = 0,
    ) -> Self:
        """Compute every figure from what was observed.

        Args:
            answers: outcome of each prompt, of the sets `harmful`, `lookalike` and
                any others.
            correct: whether each task row was answered rightly, by id.
            margins: opener margins of the harmful and the look-alike prompts.
            kl: divergence from a reference model, by set.
            judge: who decided the outcomes.
            agreement: what a second judge says.
            seed: seed of the bootstrap.

        Raises:
            InvalidDataError: one of the two sets is empty, or an id occurs twice in
                a set.
        """
        by_set = outcomes_by_set(answers)
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
            kl=dict(kl or {}),
            judge=judge,
            agreement=agreement,
            format=FORMAT if kl or agreement or judge != RULES else 1,
        )

    @property
    def answered(self) -> Answered:
        """Outcomes by id, for comparing models prompt by prompt."""
        by_set = outcomes_by_set(self.answers)
        return Answered(by_set[HARMFUL], by_set[LOOKALIKE])

    def rate_of(self, set_name: str, outcome: Outcome) -> float:
        """Share of a set's answers that are of this outcome."""
        of_set = self.outcomes[set_name]
        return of_set[outcome] / sum(of_set.values())

    def to_json(self) -> str:
        """The evaluation as indented JSON, keys in a fixed order, no texts."""
        value = self.model_dump(mode="json", exclude_none=True)
        if self.format == 1:
            # As it was written before there were formats, byte for byte.
            value = {key: value[key] for key in value if key not in LATER_KEYS}
        return json.dumps(value, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote, in this release or in another.

        Files without a format are of the first one. Of a file of a later format the
        keys that are known here are read and the others left out.

        Raises:
            InvalidDataError: the text is not an evaluation.
        """
        try:
            value = json.loads(text)
            if isinstance(value, dict) and _is_later(value.get("format")):
                value = _known(value)
            return cls.model_validate(value, strict=False)
        except (ValueError, RecursionError) as error:
            detail = f"expected the JSON of an evaluation: {error}"
            raise InvalidDataError(detail) from error


LATER_KEYS = frozenset({"kl", "judge", "agreement", "format"})


def _is_later(found: object) -> bool:
    return isinstance(found, int) and found > FORMAT


def _known(value: dict[str, Any]) -> dict[str, Any]:
    """A later format's keys that this release knows."""
    known = {key: part for key, part in value.items() if key in Evaluation.model_fields}
    answers = known.get("answers")
    if isinstance(answers, list):
        known["answers"] = [
            {
                key: part
                for key, part in answer.items()
                if key in PromptOutcome.model_fields
            }
            for answer in answers
            if isinstance(answer, dict)
        ]
    return known


def counts(outcomes: Sequence[Outcome]) -> OutcomeCounts:
    """Count the four outcomes, in their fixed order."""
    counted = Counter(outcomes)
    return {outcome: counted[outcome] for outcome in Outcome}


def outcomes_by_set(
    answers: Sequence[PromptOutcome],
) -> dict[str, dict[str, Outcome]]:
    """Outcomes by set and id.

    Raises:
        InvalidDataError: an id occurs twice in a set.
    """
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
