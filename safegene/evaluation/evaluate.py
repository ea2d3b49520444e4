"""Everything that is measured on one model, in one call.

Answers are generated, judged by `outcomes` and thrown away: an `Evaluation` holds
prompt ids, sets and outcomes, never a prompt or an answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from safegene.errors import InvalidDataError
from safegene.evaluation.accuracy import (
    answered_correctly,
    require_labels,
    task_labels,
)
from safegene.evaluation.agreement import agreement
from safegene.evaluation.defaults import BATCH_SIZE, MAX_NEW_TOKENS
from safegene.evaluation.divergence import Reference
from safegene.evaluation.evaluation import Evaluation, JudgeAgreement, PromptOutcome
from safegene.evaluation.generation import generate_answers
from safegene.evaluation.judge import RULES, Judge, judged_by
from safegene.evaluation.margin import opener_margin
from safegene.evaluation.outcomes import Outcome, classify_answer
from safegene.evaluation.rows import PromptRow, prompts_of, unique_keys

StageProgress = Callable[[str, int, int], None]
"""Called with the set at work, prompts done and all prompts of the set."""

ImplausibleCheck = Callable[[Sequence[str], Sequence[str]], Sequence[bool]]
"""Told prompts and answers, says which answers are implausible."""

KL_PROMPTS = 64
"""Most prompts of a set on which divergence from a reference is measured."""


@dataclass(frozen=True)
class EvaluationSuite:
    """The prompts a model is measured on; none of them was used to make or tune it.

    Raises:
        InvalidDataError: harmful or look-alike prompts are missing, or a task row has
            no label or an unknown one.
    """

    harmful: tuple[PromptRow, ...]
    """Prompts a safe model declines."""
    lookalike: tuple[PromptRow, ...]
    """Harmless prompts that look like them."""
    task: tuple[PromptRow, ...] = ()
    """Rows of the classification task, with labels."""
    ordinary: tuple[PromptRow, ...] = ()
    """Everyday prompts nobody should refuse."""
    labels: tuple[str, ...] = field(default=())
    """The task's labels; empty takes those that occur in `task`."""
    harmless: Mapping[str, tuple[PromptRow, ...]] = field(default_factory=dict)
    """More sets nobody should refuse, by name, each reported apart: look-alikes of
    another origin, such as XSTest's harmless half."""

    def __post_init__(self) -> None:
        if not self.harmful or not self.lookalike:
            detail = (
                "an evaluation needs harmful and look-alike prompts: found"
                f" {len(self.harmful)} and {len(self.lookalike)}"
            )
            raise InvalidDataError(detail)
        taken = {"harmful", "lookalike", "ordinary", "task"} & self.harmless.keys()
        if taken or not all(self.harmless.values()):
            detail = (
                "further harmless sets need a name of their own and prompts: got"
                f" {', '.join(sorted(taken)) or 'an empty set'}"
            )
            raise InvalidDataError(detail)
        if not self.labels:
            object.__setattr__(self, "labels", task_labels(self.task))
        # Now, not when every answer has been generated.
        require_labels(self.task, self.labels)

    @property
    def answered_sets(self) -> Mapping[str, tuple[PromptRow, ...]]:
        """The sets whose answers are judged, by name, without the empty ones."""
        sets = {
            "harmful": self.harmful,
            "lookalike": self.lookalike,
            **self.harmless,
            "ordinary": self.ordinary,
        }
        return {name: rows for name, rows in sets.items() if rows}

    @property
    def own_ground(self) -> Mapping[str, list[str]]:
        """Prompts on which a repair should change nothing, for KL to a reference."""
        sets = {"task": self.task, "ordinary": self.ordinary}
        return {
            name: prompts_of(rows[:KL_PROMPTS]) for name, rows in sets.items() if rows
        }


def evaluate_model(
    model: Any,
    tokenizer: Any,
    suite: EvaluationSuite,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    batch_size: int = BATCH_SIZE,
    margins: bool = True,
    implausible: ImplausibleCheck | None = None,
    judges: Sequence[Judge] = (),
    reference: Reference | None = None,
    progress: StageProgress | None = None,
) -> Evaluation:
    """Measure one model on a suite.

    Args:
        model: a causal language model, with whatever is attached to it.
        tokenizer: its tokenizer.
        suite: the prompts.
        max_new_tokens: where an answer is cut.
        batch_size: prompts in one batch.
        margins: whether to score the opener margin as well, at about a quarter of the
            cost of the answers.
        implausible: a check of answers against an untouched model, for instance
            `plausibility.PlausibilityCheck`.
        judges: who decides the outcomes instead of the rules; a second one is only
            compared with the first, and where there is one judge, the rules are.
        reference: distributions of the model to measure divergence from, see
            `divergence.recorded_reference`.
        progress: called with the name of the set, prompts done and all of the set.

    Returns:
        Outcomes by prompt and every figure with its interval.

    Raises:
        InvalidDataError: a judge left answers out, or the reference has another
            vocabulary.
    """
    answers: list[PromptOutcome] = []
    seconds: list[Outcome] = []
    for name, rows in suite.answered_sets.items():
        texts = generate_answers(
            model,
            tokenizer,
            prompts_of(rows),
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            progress=_stage(progress, name),
        )
        doubtful = (
            implausible(prompts_of(rows), texts) if implausible else [False] * len(rows)
        )
        found, others = _judged(rows, texts, doubtful, suite.labels, judges)
        seconds.extend(others)
        answers.extend(
            PromptOutcome(id=key, set=name, outcome=outcome, category=row.category)
            for key, row, outcome in zip(unique_keys(rows), rows, found, strict=True)
        )
    correct = None
    if suite.task:
        right = answered_correctly(
            model,
            tokenizer,
            suite.task,
            suite.labels,
            batch_size=batch_size,
            progress=_stage(progress, "task"),
        )
        correct = dict(zip(unique_keys(suite.task), right, strict=True))
    scored = (
        _margins(model, tokenizer, suite, batch_size, progress) if margins else None
    )
    return Evaluation.of(
        answers,
        correct=correct,
        margins=scored,
        kl=None if reference is None else reference.divergence(model),
        judge=_judge_name(judges, checked=implausible is not None),
        agreement=_agreement(answers, seconds, judges) if judges else None,
    )


def _judged(
    rows: Sequence[PromptRow],
    texts: Sequence[str],
    doubtful: Sequence[bool],
    labels: Sequence[str],
    judges: Sequence[Judge],
) -> tuple[list[Outcome], list[Outcome]]:
    """What the first judge says, and what the one it is compared with says."""
    # A set may hold rows of a task of its own, whose labels are the right answers.
    asked = task_labels(rows)
    rules = [
        classify_answer(
            text, labels=labels, implausible=doubt, prompt=row.prompt, asked=asked
        )
        for row, text, doubt in zip(rows, texts, doubtful, strict=True)
    ]
    said = [judged_by(judge, prompts_of(rows), texts, rules) for judge in judges]
    first, second = [*said, rules, rules][:2]
    return first, second


def _judge_name(judges: Sequence[Judge], *, checked: bool) -> str:
    """Who decided, and whether the check had a say in what is degenerate."""
    name = judges[0].name if judges else RULES
    by_rules = not judges or Outcome.DEGENERATE not in judges[0].outcomes
    return f"{name} with plausibility" if checked and by_rules else name


def _agreement(
    answers: Sequence[PromptOutcome],
    seconds: Sequence[Outcome],
    judges: Sequence[Judge],
) -> JudgeAgreement:
    found = agreement([answer.outcome for answer in answers], seconds)
    name = judges[1].name if len(judges) > 1 else RULES
    return JudgeAgreement(judge=name, kappa=found.kappa, same=found.same)


def _margins(
    model: Any,
    tokenizer: Any,
    suite: EvaluationSuite,
    batch_size: int,
    progress: StageProgress | None,
) -> dict[str, list[float]]:
    return {
        name: opener_margin(
            model,
            tokenizer,
            prompts_of(rows),
            batch_size=max(1, batch_size // 2),
            progress=_stage(progress, f"{name} margin"),
        )
        for name, rows in (("harmful", suite.harmful), ("lookalike", suite.lookalike))
    }


def _stage(
    progress: StageProgress | None, name: str
) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(name, done, total)
