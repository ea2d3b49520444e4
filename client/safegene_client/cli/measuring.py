"""How `evaluate` measures models: one after another, with what each of them wears.

Torch is imported in functions, so that `--help` costs none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safegene.artifact.calibration import Calibration
from safegene.errors import UsageError
from safegene_client.cli.comparing import Entrant
from safegene_client.cli.output import Output
from safegene_client.pulled import PulledVector

if TYPE_CHECKING:
    from safegene.evaluation.evaluate import EvaluationSuite
    from safegene.evaluation.evaluation import Evaluation
    from safegene.evaluation.judge import Judge
    from safegene.evaluation.plausibility import PlausibilityCheck

Repair = tuple[PulledVector, Calibration | None]
"""A vector and its coefficients."""

ALIGNED = "aligned"


@dataclass(frozen=True)
class GoodAnswers:
    """What tells plausible answers: an untouched model, and one that answers well."""

    base: Path
    aligned: Entrant


@dataclass(frozen=True)
class Conditions:
    """How models are measured, the same for each of them."""

    max_new_tokens: int
    batch_size: int
    device: str
    adapter: Path | None
    """Of the only model directory."""
    opened: Mapping[str, Repair]
    """What entrants wear, by name."""


def good_answers(
    base: Path | None, aligned: Path | None, entrants: Sequence[Entrant]
) -> GoodAnswers | None:
    """Whose answers say what is plausible; None where nobody asked.

    Raises:
        UsageError: no model is known to answer well, or there is nothing to check.
    """
    if base is None:
        if aligned is not None:
            message = "--aligned says what is plausible: give --plausible-under, too"
            raise UsageError(message)
        return None
    measured = [each for each in entrants if not each.is_measured]
    if not measured:
        message = (
            "--plausible-under checks answers as they are made, and evaluation files"
            " hold none: give it when the models are measured"
        )
        raise UsageError(message)
    if aligned is not None:
        return GoodAnswers(base, Entrant("", aligned))
    for each in measured:
        if each.name == ALIGNED:
            return GoodAnswers(base, each)
    message = (
        "--plausible-under learns from good answers what is plausible: give --aligned"
        " DIR, or compare a model directory named aligned"
    )
    raise UsageError(message)


def require_one_directory(adapter: Path | None, entrants: Sequence[Entrant]) -> None:
    """Refuse a task adapter that would be put on several models.

    Raises:
        UsageError: there are several model directories.
    """
    found = {each.path for each in entrants if not each.is_measured}
    if adapter is not None and len(found) > 1:
        message = (
            "--adapter is one model's task adapter, and several directories are"
            f" compared: {', '.join(map(str, sorted(found)))}; measure each with"
            " --evaluations, then compare the files"
        )
        raise UsageError(message)


def plausibility_check(
    output: Output, good: GoodAnswers, suite: "EvaluationSuite", conditions: Conditions
) -> "PlausibilityCheck":
    """Learn from the aligned model's answers to the suite what is plausible.

    Raises:
        InvalidDataError: all of its answers are degenerate.
    """
    from safegene.evaluation.generation import generate_answers
    from safegene.evaluation.outcomes import Outcome, classify_answer
    from safegene.evaluation.plausibility import PlausibilityCheck
    from safegene.evaluation.rows import prompts_of
    from safegene_client.loading import load_target

    prompts = [p for rows in suite.answered_sets.values() for p in prompts_of(rows)]
    output.say(f"loading {good.aligned.path}")
    adapter = conditions.adapter if good.aligned.name else None
    loaded = load_target(good.aligned.path, adapter=adapter, device=conditions.device)
    with _wearing(loaded.model, good.aligned, conditions), output.stages() as advance:
        answers = generate_answers(
            loaded.model,
            loaded.tokenizer,
            prompts,
            max_new_tokens=conditions.max_new_tokens,
            batch_size=conditions.batch_size,
            progress=partial(advance, "good answers"),
        )
    del loaded  # before the next one comes
    kept = [
        (prompt, answer)
        for prompt, answer in zip(prompts, answers, strict=True)
        if classify_answer(answer, prompt=prompt) is not Outcome.DEGENERATE
    ]
    output.say(f"loading {good.base}")
    base = load_target(good.base, device=conditions.device)
    return PlausibilityCheck.learned(
        base.model, base.tokenizer, [each[0] for each in kept], [a for _, a in kept]
    )


def measure(
    output: Output,
    entrants: Sequence[Entrant],
    suite: "EvaluationSuite",
    conditions: Conditions,
    *,
    judges: "Sequence[Judge]",
    implausible: "PlausibilityCheck | None",
) -> "dict[str, Evaluation]":
    """Measure one model after another; the first is what KL is measured from."""
    from safegene.evaluation.divergence import recorded_reference
    from safegene.evaluation.evaluate import evaluate_model
    from safegene_client.loading import load_target

    measured: dict[str, Evaluation] = {}
    loaded = None
    with ExitStack() as kept:
        reference = None
        for number, entrant in enumerate(entrants):
            if number == 0 or entrant.path != entrants[number - 1].path:
                output.say(f"loading {entrant.path}")
                loaded = None  # before the next one comes: one model at a time
                loaded = load_target(
                    entrant.path, adapter=conditions.adapter, device=conditions.device
                )
            model, tokenizer = loaded.model, loaded.tokenizer  # type: ignore[union-attr]
            with _wearing(model, entrant, conditions), output.stages() as advance:
                if number == 0 and len(entrants) > 1 and suite.own_ground:
                    reference = kept.enter_context(
                        recorded_reference(model, tokenizer, suite.own_ground)
                    )
                measured[entrant.name] = evaluate_model(
                    model,
                    tokenizer,
                    suite,
                    max_new_tokens=conditions.max_new_tokens,
                    batch_size=conditions.batch_size,
                    implausible=implausible,
                    judges=judges,
                    reference=reference,
                    progress=partial(_advance, advance, entrant.name),
                )
    return measured


@contextmanager
def _wearing(model: Any, entrant: Entrant, conditions: Conditions) -> Iterator[None]:
    """The entrant's vector on the model for the length of the block, if it has one."""
    from safegene.vectors.attach import attach

    if entrant.name not in conditions.opened:
        yield
        return
    pulled, calibration = conditions.opened[entrant.name]
    given = None if calibration is None else calibration.values
    # Negative ones were refused, or allowed, when it was read.
    with attach(model, pulled.vector, given, allow_negative=True):
        yield


def _advance(
    advance: Callable[[str, int, int], None],
    name: str,
    stage: str,
    done: int,
    total: int,
) -> None:
    advance(f"{name}: {stage}", done, total)
