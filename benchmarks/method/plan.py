"""What is measured, and in which order, so that a run cut short is a table already.

First every target with the aligned model, ours and the uniform coefficient; then the
rivals. What explains them is measured on the recipe's side tasks only: frontiers, other
solvers, pairs and models, and last what trains weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.method.recipe import Recipe

FIRST = ("target", "aligned", "ours", "uniform")
RIVALS = ("uniform", "dare", "safelora", "safemerge", "scaled_task", "random")
"""Post-hoc rows of others whose strength is set so that their KL is ours."""
OURS = (
    "ours",
    "ours_delta",
    "ours_adam",
    "ours_shipped_pair",
    "ours_quick",
    "ours_lookalikes",
)
ABLATIONS = ("uniform_distilled",)
"""Ours without a part of it, set to the same KL as rivals are; no rivals themselves."""
MATCHED = (*RIVALS, *ABLATIONS)
FRONTIERS = ("ours", "uniform", "dare")
MODELS = ("aligned", "degraded", "shipped")
"""Rows that measure another model on a target's prompts."""
CEILINGS = ("one_shot", "retune", "augment", "dpo")
"""Rows that train weights."""
BUDGETED = (*OURS, *MATCHED)
ROWS = ("target", *MODELS, *OURS, *MATCHED, *CEILINGS)


@dataclass(frozen=True)
class Job:
    """One cell to measure."""

    task: str
    kind: str
    row: str
    budget: float | None = None

    @property
    def name(self) -> str:
        """As in the cell's file name."""
        level = "" if self.budget is None else f"-{self.budget:g}"
        return f"{self.task}-{self.kind}-{self.row}{level}"

    @property
    def needs(self) -> "Job | None":
        """What must have been measured before: for a rival, ours to match."""
        if self.row in MATCHED:
            return Job(self.task, self.kind, "ours", self.budget)
        return None


def jobs(recipe: Recipe) -> tuple[Job, ...]:
    """Every cell of a recipe, the most telling first.

    Raises:
        ValueError: the recipe names a row that there is not.
    """
    unknown = sorted(set(recipe.rows) - set(ROWS))
    if unknown:
        message = f"no row is called {unknown[0]}; there are {', '.join(ROWS)}"
        raise ValueError(message)
    ordered: dict[Job, None] = {}
    for targets, stage in _stages(recipe):
        for task, kind in targets:
            for row, budget in stage:
                if row in recipe.rows:
                    ordered.setdefault(Job(task, kind, row, budget))
    return tuple(ordered)


def _stages(
    recipe: Recipe,
) -> Iterator[tuple[Sequence[tuple[str, str]], Sequence[tuple[str, float | None]]]]:
    """Targets, and what is measured on each of them."""
    main, every, side = recipe.main_budget, recipe.targets, recipe.side_targets

    def at_main(rows: Sequence[str]) -> list[tuple[str, float | None]]:
        return [(row, main if row in BUDGETED else None) for row in rows]

    yield every, at_main(FIRST)
    yield every, at_main(MATCHED)
    yield side, at_main(OURS)
    levels = [budget for budget in recipe.budgets if budget != main]
    yield side, [(row, budget) for budget in levels for row in FRONTIERS]
    yield side, at_main((*MODELS, *CEILINGS))
