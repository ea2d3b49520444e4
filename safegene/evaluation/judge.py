"""Who decides what an answer is: the rules, or another judge plugged in.

A judge is any object with a name that turns prompts and answers into outcomes. It may
know fewer than four outcomes: a refusal classifier tells refusals from compliance and
nothing else. What it does not know, the rules decide first. Needs no torch.
"""

from collections.abc import Sequence
from typing import Protocol

from safegene.errors import InvalidDataError
from safegene.evaluation.outcomes import Outcome

RULES = "rules"
MECHANICAL = frozenset({Outcome.OFF_TASK, Outcome.DEGENERATE})
"""What rules on the text find and most judges were never taught."""


class Judge(Protocol):
    """Judges answers; a judgement that fails raises and is never counted."""

    @property
    def name(self) -> str:
        """How reports call it."""

    @property
    def outcomes(self) -> frozenset[Outcome]:
        """What it can say."""

    def judge(
        self, prompts: Sequence[str], answers: Sequence[str]
    ) -> Sequence[Outcome]:
        """Decide the outcome of each answer, in order."""


def judged_by(
    judge: Judge,
    prompts: Sequence[str],
    answers: Sequence[str],
    rules: Sequence[Outcome],
) -> list[Outcome]:
    """Outcomes by a judge, with the rules' word on what it cannot say.

    Args:
        judge: asked only about answers that the rules leave to it.
        prompts: what was said to the model.
        answers: what the model said.
        rules: the rules' outcomes of the same answers.

    Raises:
        InvalidDataError: the judge gave another number of judgements than answers.
    """
    left = MECHANICAL - judge.outcomes
    asked = [at for at, outcome in enumerate(rules) if outcome not in left]
    found = list(rules)
    if not asked:
        return found
    verdicts = judge.judge([prompts[at] for at in asked], [answers[at] for at in asked])
    if len(verdicts) != len(asked):
        detail = (
            f"the judge {judge.name} gave {len(verdicts)} judgements for"
            f" {len(asked)} answers; every answer needs one"
        )
        raise InvalidDataError(detail)
    for at, verdict in zip(asked, verdicts, strict=True):
        found[at] = verdict
    return found
