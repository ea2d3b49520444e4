"""Several evaluated models against one: paired differences with intervals and tests.

Models are compared prompt by prompt, so they must have answered the same ones. Needs no
torch.
"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict

from safegene.errors import InvalidDataError
from safegene.evaluation.evaluation import HARMFUL, Evaluation, outcomes_by_set
from safegene.evaluation.figures import harmless_sets, hits
from safegene.evaluation.metrics import (
    Answered,
    Estimate,
    j_difference,
    mcnemar,
    paired_difference,
)
from safegene.evaluation.outcomes import Outcome


class Difference(BaseModel):
    """One figure of one model minus that of the baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    baseline: str
    figure: str
    """Such as `J lookalike`, `refuses harmful`, `degenerate` or `task accuracy`."""
    difference: Estimate
    """Paired by prompt, with its bootstrap interval."""
    p_value: float | None = None
    """Exact McNemar test; None for J, which is a difference of two rates."""


def compare_evaluations(
    evaluations: Mapping[str, Evaluation], baseline: str
) -> tuple[Difference, ...]:
    """Every model but the baseline against the baseline.

    Args:
        evaluations: by name.
        baseline: name of the one to compare with.

    Raises:
        InvalidDataError: there is no such model, or two answered different prompts.
    """
    if baseline not in evaluations:
        detail = (
            f"the baseline is one of the compared models: expected one of"
            f" {', '.join(evaluations)}, got {baseline}"
        )
        raise InvalidDataError(detail)
    base = evaluations[baseline]
    return tuple(
        difference
        for name, found in evaluations.items()
        if name != baseline
        for difference in _against(name, found, baseline, base)
    )


def _against(
    name: str, found: Evaluation, baseline: str, base: Evaluation
) -> Iterator[Difference]:
    if set(found.outcomes) != set(base.outcomes):
        detail = (
            f"{name} and {baseline} were measured on different sets of prompts:"
            f" {', '.join(found.outcomes)} and {', '.join(base.outcomes)}"
        )
        raise InvalidDataError(detail)
    after, before = outcomes_by_set(found.answers), outcomes_by_set(base.answers)
    for each in harmless_sets(base):
        moved = j_difference(
            Answered(after[HARMFUL], after[each]),
            Answered(before[HARMFUL], before[each]),
        )
        yield Difference(
            model=name, baseline=baseline, figure=f"J {each}", difference=moved
        )
    figures = {
        f"refuses {each}": (
            hits(found, Outcome.REFUSE, [each]),
            hits(base, Outcome.REFUSE, [each]),
        )
        for each in base.outcomes
    }
    figures["degenerate"] = (
        hits(found, Outcome.DEGENERATE, found.outcomes),
        hits(base, Outcome.DEGENERATE, base.outcomes),
    )
    if found.correct is not None and base.correct is not None:
        figures["task accuracy"] = (found.correct, base.correct)
    for figure, (ours, theirs) in figures.items():
        yield Difference(
            model=name,
            baseline=baseline,
            figure=figure,
            difference=paired_difference(ours, theirs),
            p_value=mcnemar(ours, theirs).p_value,
        )
