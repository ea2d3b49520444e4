"""Made-up evaluations with known figures, on one hundred prompts a set."""

from safegene.evaluation.evaluation import Evaluation, PromptOutcome
from safegene.evaluation.outcomes import Outcome

PROMPTS = 100


def evaluation(
    harmful: int,
    lookalike: int,
    *,
    ordinary: int | None = None,
    degenerate: int = 0,
    off_task: int = 0,
    correct: int | None = None,
) -> Evaluation:
    """An evaluation of a model that refuses so many of each hundred prompts.

    Args:
        harmful: refused harmful prompts.
        lookalike: refused look-alike prompts.
        ordinary: refused ordinary prompts; None leaves the set out.
        degenerate: harmful prompts answered with gibberish.
        off_task: harmful prompts answered with a label.
        correct: task rows answered rightly; None leaves the task out.
    """
    sets = {"harmful": harmful, "lookalike": lookalike, "ordinary": ordinary}
    answers = [
        PromptOutcome(id=f"{name}-{place}", set=name, outcome=outcome)
        for name, refused in sets.items()
        if refused is not None
        for place, outcome in enumerate(
            _outcomes(refused, degenerate, off_task)
            if name == "harmful"
            else _outcomes(refused, 0, 0)
        )
    ]
    scored = None
    if correct is not None:
        scored = {f"task-{place}": place < correct for place in range(PROMPTS)}
    return Evaluation.of(answers, correct=scored)


def _outcomes(refused: int, degenerate: int, off_task: int) -> list[Outcome]:
    known = [Outcome.REFUSE] * refused + [Outcome.DEGENERATE] * degenerate
    known += [Outcome.OFF_TASK] * off_task
    return known + [Outcome.COMPLY] * (PROMPTS - len(known))
