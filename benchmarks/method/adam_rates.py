"""Which schedule Adam deserves: `python -m benchmarks.method.adam_rates`.

The row "ours, with Adam" has to be Adam at its best. On the first target several rates
are gone through, some with fewer steps: a long schedule that is stopped early is no
short one, for the rate falls to 0 at its end.
Schedules are kept by content; a run that was stopped goes on where it ended.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness import OUT, Benchmark
from benchmarks.method.cells import Cell
from benchmarks.method.fingerprints import code_digest
from benchmarks.method.keys import RECALIBRATION_CODE
from benchmarks.method.plan import Job
from benchmarks.method.recipe import FULL
from benchmarks.method.repairs import Bench, calibration_rows, held_out_rows, ours
from benchmarks.method.runner import Runner, Talk, open_runner
from benchmarks.method.summary import work_along, work_to_reach
from benchmarks.method.workshop import Step
from safegene.vectors.recalibrate import AdamSettings

SCHEDULES = ((0.02, 30), (0.05, 30), (0.1, 30), (0.1, 15), (0.2, 15))
"""Learning rates and steps. Fifteen steps are the work that ours takes."""
RESULT_NAME = "schedule.json"
DIGITS = 5


@dataclass(frozen=True)
class Schedule:
    """What came of one schedule."""

    learning_rate: float
    steps: int
    objective_before: float
    objective: float
    kl: float
    """On the rows calibrated on; within the budget."""
    held_out_kl: float
    forward_equivalents: int
    seconds: float
    coefficients: dict[str, str]
    trace: list[list[float]]
    """Work and objective of every point measured."""

    def cost_beside(self, cell: Cell) -> float:
        """Work of ours over Adam's until both have reached the same objective."""
        common = max(self.objective, float(cell.notes["objective_after"]))
        total = float(self.forward_equivalents)
        return work_to_reach(cell, common) / work_along(self.trace, common, total)


def explore(bench: Bench, schedules: Iterable[tuple[float, int]]) -> Iterator[Schedule]:
    """One schedule after another.

    Args:
        bench: the target.
        schedules: learning rates and steps.
    """
    adam = bench.recipe.adam
    for rate, steps in schedules:
        yield schedule(bench, replace(adam, learning_rate=rate, steps=steps))


def best_of(schedules: Sequence[Schedule]) -> Schedule:
    """The one with the lowest objective; of equals the first."""
    return min(schedules, key=lambda found: found.objective)


def schedule(bench: Bench, adam: AdamSettings) -> Schedule:
    """One schedule; read if it was gone through before."""

    def build(out: Path) -> None:
        found = asdict(_go(bench, adam))
        (out / RESULT_NAME).write_text(json.dumps(found) + "\n", encoding="utf-8")

    step = Step(bench.workshop.cache, "adam-schedule", _facts(bench, adam), build)
    return Schedule(**json.loads((step.directory() / RESULT_NAME).read_text("utf-8")))


def _go(bench: Bench, adam: AdamSettings) -> Schedule:
    held_out = bench.held_out  # before any repair: it remembers the target as it is
    kept = bench.recipe
    bench.recipe = replace(kept, adam=adam, pair=kept.published)
    try:
        with ours(bench, _job(bench, "ours_adam"), 0.0) as repaired:
            held_out_kl = held_out.kl(repaired.model)["mean"]
    finally:
        bench.recipe = kept
    notes = repaired.notes
    return Schedule(
        learning_rate=adam.learning_rate,
        steps=adam.steps,
        objective_before=float(notes["objective_before"]),
        objective=float(notes["objective_after"]),
        kl=float(notes["realised_kl"]),
        held_out_kl=round(held_out_kl, DIGITS),
        forward_equivalents=repaired.cost.forward_equivalents,
        seconds=repaired.cost.seconds,
        coefficients=notes["coefficients"],
        trace=notes["trace"],
    )


def _job(bench: Bench, row: str) -> Job:
    return Job(bench.task, bench.kind, row, bench.recipe.main_budget)


def _facts(bench: Bench, adam: AdamSettings) -> dict[str, Any]:
    """Everything a schedule depends on."""
    recipe, workshop = bench.recipe, bench.workshop
    return {
        "target": workshop.target(bench.task, bench.kind).key,
        "vector": workshop.vector(recipe.published).key,
        "rows": repr(calibration_rows(recipe, bench.data, bench.task).sets()),
        "held_out": repr(held_out_rows(recipe, bench.data, bench.task)),
        "kl": asdict(recipe.kl),
        "budget": recipe.main_budget,
        "granularity": recipe.granularity,
        "objective": asdict(recipe.objective),
        "effort": asdict(recipe.effort),
        "adam": asdict(adam),
        "seed": recipe.seed,
        "code": code_digest(*RECALIBRATION_CODE, "benchmarks/method/held_out.py"),
    }


def table(schedules: Sequence[Schedule], mine: Cell | None) -> str:
    """The lines for docs/benchmarks/method.md.

    Args:
        schedules: of Adam.
        mine: the cell of ours on the same target, if it was measured.
    """
    head = (
        *("solver", "learning rate", "steps", "objective", "KL", "held-out KL"),
        *("forward eq.", "s", "ours / Adam"),
    )
    lines = [_row(head), "|" + "---|" * len(head)]
    if mine is not None:
        notes, cost = mine.notes, mine.cost
        lines.append(
            _row(
                (
                    *("ours", "", ""),
                    f"{float(notes['objective_after']):.4f}",
                    f"{float(notes['realised_kl']):.4f}",
                    f"{mine.kl['mean']:.4f}" if mine.kl else "",
                    f"{cost.forward_equivalents}",
                    f"{cost.seconds:.0f}",
                    "",
                )
            )
        )
    best = best_of(schedules)
    for found in schedules:
        entries = (
            "**Adam**" if found is best else "Adam",
            f"{found.learning_rate:g}",
            f"{found.steps}",
            f"{found.objective:.4f}",
            f"{found.kl:.4f}",
            f"{found.held_out_kl:.4f}",
            f"{found.forward_equivalents}",
            f"{found.seconds:.0f}",
            f"{found.cost_beside(mine):.2f}" if mine else "",
        )
        lines.append(_row(entries))
    return "\n".join(lines) + "\n"


def _row(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"


def compare(runner: Runner, out: Path, schedules: Iterable[tuple[float, int]]) -> None:
    """Go through all schedules on the first target, and tell.

    Args:
        runner: knows the recipe and the cell of ours.
        out: gets `adam_rates.json`, anew after every schedule.
        schedules: learning rates and steps.
    """
    workshop, talk = runner.workshop, runner.talk
    recipe = workshop.recipe
    task, kind = recipe.targets[0]
    bench = Bench(recipe, workshop.data, workshop, task, kind, talk.progress)
    mine = runner.cell(_job(bench, "ours"))
    benchmark = Benchmark(
        "adam_rates",
        "Which schedule does Adam deserve on the first target?",
        {"target": f"{task}-{kind}", **asdict(recipe)},
    )
    done: list[Schedule] = []
    for found in explore(bench, schedules):
        done.append(found)
        talk.tell(
            f"rate {found.learning_rate:g}, {found.steps} steps: objective"
            f" {found.objective:.4f}, KL {found.kl:.4f}"
        )
        benchmark.extra = {
            "schedules": [_document(each, mine) for each in done],
            "ours": None if mine is None else {**mine.notes, **asdict(mine.cost)},
        }
        benchmark.write(_told(done), out)
    print(table(done, mine))
    benchmark.finish(_told(done), out)


def _document(found: Schedule, mine: Cell | None) -> dict[str, Any]:
    ratio = None if mine is None else round(found.cost_beside(mine), DIGITS)
    return {**asdict(found), "cost_of_ours_beside_it": ratio}


def _told(done: Sequence[Schedule]) -> str:
    best = best_of(done)
    return (
        f"Of {len(done)} schedules the one at a rate of {best.learning_rate:g} with"
        f" {best.steps} steps ends lowest: objective {best.objective:.4f}, from"
        f" {best.objective_before:.4f}, after {best.forward_equivalents} forward"
        " equivalents."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Go through the schedules that are missing and tell what came out."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.method.adam_rates", description=__doc__
    )
    parser.parse_args(arguments)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    compare(open_runner(FULL, Talk()), OUT, SCHEDULES)


if __name__ == "__main__":
    main()
