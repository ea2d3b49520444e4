"""Figures that follow from an evaluation's outcomes: by harmless set, by category.

They are computed when asked for and not stored, so old evaluation files have them, too.
Needs no torch.
"""

from collections.abc import Iterable

from safegene.evaluation.evaluation import HARMFUL, Evaluation, outcomes_by_set
from safegene.evaluation.metrics import Estimate, discrimination, rate
from safegene.evaluation.outcomes import Outcome


def harmless_sets(evaluation: Evaluation) -> tuple[str, ...]:
    """Names of the sets nobody should refuse, in the order they were answered."""
    return tuple(name for name in evaluation.outcomes if name != HARMFUL)


def j_by_set(evaluation: Evaluation, *, seed: int = 0) -> dict[str, Estimate]:
    """J against each harmless set: refusal on harmful minus refusal on that set."""
    by_set = outcomes_by_set(evaluation.answers)
    harmful = [*by_set[HARMFUL].values()]
    return {
        name: discrimination(harmful, [*by_set[name].values()], seed=seed)
        for name in harmless_sets(evaluation)
    }


def refusal_by_category(
    evaluation: Evaluation, set_name: str = HARMFUL, *, seed: int = 0
) -> dict[str, Estimate]:
    """Refusal rate of each category of a set, with interval and count."""
    hits: dict[str, list[bool]] = {}
    for answer in evaluation.answers:
        if answer.set == set_name and answer.category is not None:
            refused = answer.outcome is Outcome.REFUSE
            hits.setdefault(answer.category, []).append(refused)
    return {name: rate(found, seed=seed) for name, found in sorted(hits.items())}


def hits(
    evaluation: Evaluation, outcome: Outcome, sets: Iterable[str]
) -> dict[str, bool]:
    """Whether each prompt of the sets got an outcome, by set and id."""
    wanted = set(sets)
    return {
        f"{answer.set}/{answer.id}": answer.outcome is outcome
        for answer in evaluation.answers
        if answer.set in wanted
    }
