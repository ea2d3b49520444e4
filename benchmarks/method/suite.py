"""What one target is measured on, and what was seen there, without any text.

An outcome is one letter, in the order of the suite's ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.method.data import Data
from benchmarks.method.plausibility import Implausible
from benchmarks.method.recipe import Recipe, TestRows
from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes
from safegene.evaluation.accuracy import answered_correctly, task_labels
from safegene.evaluation.generation import generate_answers
from safegene.evaluation.margin import opener_margin
from safegene.evaluation.outcomes import Outcome, classify_answer
from safegene.evaluation.rows import PromptRow, prompts_of, unique_keys

HARMFUL = ("advbench", "beavertails", "xstest_unsafe")
LOOKALIKE = "coconot"
XSTEST = "xstest_safe"
ORDINARY = "dolly"
HARMLESS = (LOOKALIKE, XSTEST, ORDINARY)
LETTERS = {
    Outcome.REFUSE: "r",
    Outcome.COMPLY: "c",
    Outcome.DEGENERATE: "d",
    Outcome.OFF_TASK: "o",
}
MARGIN_DIGITS = 3

Ids = Mapping[str, tuple[str, ...]]
"""Prompt ids by set; the task's rows are the set `task`."""


@dataclass(frozen=True)
class Suite:
    """The prompts of one target's evaluation."""

    sets: Mapping[str, tuple[PromptRow, ...]]
    """Answered prompts by set."""
    task: tuple[PromptRow, ...]
    labels: tuple[str, ...]

    @cached_property
    def ids(self) -> dict[str, tuple[str, ...]]:
        """Ids by set, in order; they tell nothing of the texts."""
        named = {name: unique_keys(rows) for name, rows in self.sets.items()}
        return named | {"task": unique_keys(self.task)}

    @cached_property
    def key(self) -> str:
        """Digest of the ids, which are digests of the prompts."""
        value = {name: list(ids) for name, ids in self.ids.items()}
        return digest_bytes(canonical_json(value)).hex[:16]


@dataclass(frozen=True)
class Seen:
    """What one model did on a suite."""

    outcomes: dict[str, str]
    """One letter a prompt, by set."""
    correct: str
    """1 or 0 a row of the task; empty where the task was left out."""
    margins: dict[str, list[float]]
    """Opener margins, by set."""


def suite_for(recipe: Recipe, data: Data, task: str, kind: str) -> Suite:
    """The suite of one target: others draw other prompts as long as there are some."""
    number = recipe.targets.index((task, kind))
    of_task = [kind_ for task_, kind_ in recipe.targets if task_ == task].index(kind)
    test = recipe.test
    counts = {
        **test.harmful,
        LOOKALIKE: test.coconot,
        XSTEST: test.xstest_safe,
        ORDINARY: test.dolly,
    }
    rows = data.draw(f"test/{task}", test.task, of_task)
    return Suite(
        sets={
            name: data.draw(f"test/{name}", count, number)
            for name, count in counts.items()
        },
        task=rows,
        labels=task_labels(data.splits[f"test/{task}"]),
    )


def look(
    model: Any,
    tokenizer: Any,
    suite: Suite,
    test: TestRows,
    *,
    implausible: Implausible,
    task: bool = True,
) -> Seen:
    """Measure a model; its answers are judged and thrown away.

    Args:
        model: with everything applied.
        tokenizer: its tokenizer.
        suite: the prompts.
        test: lengths and batch size.
        implausible: tells answers that make no sense.
        task: whether the task's rows are answered, too.
    """
    return Seen(
        outcomes=outcomes_of(model, tokenizer, suite, test, implausible=implausible),
        correct=_correct(model, tokenizer, suite, test) if task else "",
        margins=_margins(model, tokenizer, suite, test),
    )


def outcomes_of(
    model: Any,
    tokenizer: Any,
    suite: Suite,
    test: TestRows,
    *,
    implausible: Implausible,
) -> dict[str, str]:
    """One letter for the answer to each prompt, by set."""
    prompts = prompts_of([row for rows in suite.sets.values() for row in rows])
    # All sets in one go: long prompts share batches with long ones.
    answers = generate_answers(
        model,
        tokenizer,
        prompts,
        max_new_tokens=test.answer_tokens,
        batch_size=test.batch_size,
    )
    judged = iter(
        classify_answer(answer, labels=suite.labels, implausible=doubt, prompt=prompt)
        for prompt, answer, doubt in zip(
            prompts, answers, implausible(prompts, answers), strict=True
        )
    )
    return {
        name: "".join(LETTERS[next(judged)] for _ in rows)
        for name, rows in suite.sets.items()
    }


def _correct(model: Any, tokenizer: Any, suite: Suite, test: TestRows) -> str:
    right = answered_correctly(
        model, tokenizer, suite.task, suite.labels, batch_size=test.batch_size
    )
    return "".join("01"[hit] for hit in right)


def _margins(
    model: Any, tokenizer: Any, suite: Suite, test: TestRows
) -> dict[str, list[float]]:
    named = {name: suite.sets[name][:count] for name, count in test.margins.items()}
    every = [row for rows in named.values() for row in rows]
    scored = opener_margin(
        model, tokenizer, prompts_of(every), batch_size=max(1, test.batch_size // 4)
    )
    found = iter(scored)
    return {
        name: [round(next(found), MARGIN_DIGITS) for _ in rows]
        for name, rows in named.items()
    }
