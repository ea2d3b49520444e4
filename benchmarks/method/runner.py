"""Measures the cells of a plan, one after the other, and takes up where it ended."""

import gc
import os
import platform
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from statistics import mean

from benchmarks.harness import commit, machine
from benchmarks.method.cells import COMMITTED, PLACE, Cell, CellStore, Cost
from benchmarks.method.data import data_directory, load_data
from benchmarks.method.keys import cell_key
from benchmarks.method.plan import (
    ABLATIONS,
    CEILINGS,
    FIRST,
    MODELS,
    OURS,
    RIVALS,
    Job,
)
from benchmarks.method.plausibility import Implausible, open_check
from benchmarks.method.recipe import Recipe, recipe_of
from benchmarks.method.repairs import (
    Bench,
    Repaired,
    RowFunction,
    another_model,
    as_it_is,
    matched,
    ours,
)
from benchmarks.method.suite import Suite, look, suite_for
from benchmarks.method.workshop import Base, Workshop
from examples.demo.cache import StepCache

FIRST_GUESS_SECONDS = 60.0
"""What a cell is thought to take before one of its row was measured."""
QUIET_SECONDS = 20.0
MADE = {"augment": "augmented"}
"""Rows whose model is a step of the workshop, and how the step's name begins."""


def one_coefficient(
    bench: Bench, job: Job, wanted: float
) -> AbstractContextManager[Repaired]:
    """The row's own vector with one coefficient, matched as RESTA's is."""
    return matched(bench, replace(job, row="uniform"), wanted)


def row_function(row: str) -> RowFunction:
    """What makes a row's model."""
    if row in CEILINGS:
        # Late: one of them needs trl, which nothing else does.
        from benchmarks.method.rivals import preference, training

        return {
            "one_shot": training.tuned_again,
            "retune": training.tuned_again,
            "augment": training.augmented,
            "dpo": preference.preferred,
        }[row]
    functions: dict[str, RowFunction] = dict.fromkeys(RIVALS, matched)
    functions |= dict.fromkeys(ABLATIONS, one_coefficient)
    functions |= dict.fromkeys(OURS, ours) | dict.fromkeys(MODELS, another_model)
    return functions.get(row, as_it_is)


@dataclass
class Talk:
    """Says on standard error how far the work is."""

    write: Callable[[str], object] = sys.stderr.write
    _shown: float = 0.0

    def tell(self, line: str) -> None:
        """Say a line, with the time."""
        self.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")

    def progress(self, label: str, done: int, total: int) -> None:
        """Say now and then how far a long step is."""
        now = time.monotonic()
        if now - self._shown >= QUIET_SECONDS:
            self._shown = now
            self.tell(f"    {label} {done}/{total}")


@dataclass
class Runner:
    """Knows the keys of all cells and measures those that are missing."""

    workshop: Workshop
    store: CellStore
    talk: "Talk"
    rows: Callable[[str], RowFunction] = row_function
    _bench: Bench | None = None
    _suites: dict[tuple[str, str], Suite] = field(default_factory=dict)
    _seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @cached_property
    def implausible(self) -> Implausible:
        """Tells answers that make no sense; loads the model as shipped."""
        return open_check(self.workshop)

    def suite(self, job: Job) -> Suite:
        """What the job's target is measured on."""
        place = (job.task, job.kind)
        if place not in self._suites:
            recipe, data = self.workshop.recipe, self.workshop.data
            self._suites[place] = suite_for(recipe, data, *place)
        return self._suites[place]

    def wanted_kl(self, job: Job) -> float | None:
        """The KL to match; 0 where none is, None while ours is not measured."""
        if job.needs is None:
            return 0.0
        needed = self.cell(job.needs)
        return needed.kl["mean"] if needed is not None and needed.kl else None

    def key(self, job: Job) -> str | None:
        """The key of the job's cell, None while it cannot be known."""
        wanted = self.wanted_kl(job)
        if wanted is None:
            return None
        return cell_key(job, self.workshop, self.suite(job), wanted)

    def cell(self, job: Job) -> Cell | None:
        """The job's cell, if it was measured."""
        key = self.key(job)
        return None if key is None else self.store.get(key)

    def run(self, jobs: Sequence[Job], *, minutes: float = float("inf")) -> int:
        """Measure what is missing, in order, until the time is up.

        A job that was asked for without what it needs brings that along.

        Returns:
            How many cells are still missing.
        """
        begin = time.monotonic()
        every = list(dict.fromkeys(part for job in jobs for part in _with_needs(job)))
        missing = [job for job in every if self.cell(job) is None]
        self.talk.tell(f"{len(every) - len(missing)} of {len(every)} cells are there")
        for done, job in enumerate(missing):
            if (time.monotonic() - begin) / 60 >= minutes:
                self.talk.tell(f"time is up; {len(missing) - done} cells are missing")
                return len(missing) - done
            remaining = self._remaining(missing[done:]) / 60
            self.talk.tell(
                f"[{done + 1}/{len(missing)}] {job.name}; about {remaining:.0f} min"
                " remain"
            )
            cell = self.measure(job)
            self.talk.tell(f"    {_glance(cell)}")
        return 0

    def measure(self, job: Job) -> Cell:
        """Measure one cell and keep it."""
        wanted, suite = self.wanted_kl(job), self.suite(job)
        if wanted is None:
            message = f"{job.name} needs {job.needs and job.needs.name} measured first"
            raise ValueError(message)
        begin = time.monotonic()
        bench = self._bench_for(job)
        with self._made(job, bench, wanted) as repaired:
            started = time.monotonic()
            # The labels of a task mean nothing to a model that never learned it.
            seen = look(
                repaired.model,
                bench.target.tokenizer,
                self._answered(job, suite),
                self.workshop.recipe.test,
                implausible=self.implausible,
                task=repaired.is_target,
            )
            kl = bench.held_out.kl(repaired.model) if repaired.is_target else None
        cell = Cell(
            row=job.row,
            task=job.task,
            kind=job.kind,
            budget=job.budget,
            suite=suite.key,
            outcomes=seen.outcomes,
            correct=seen.correct,
            margins=seen.margins,
            kl=None if kl is None else {k: float(f"{v:.5g}") for k, v in kl.items()},
            cost=self._whole_cost(job, repaired.cost),
            notes=repaired.notes,
            measuring_seconds=round(time.monotonic() - started, 1),
            made=provenance(),
        )
        key = cell_key(job, self.workshop, suite, wanted)
        self.store.put(key, cell, suite.ids)
        self._seconds[job.row].append(time.monotonic() - begin)
        return cell

    def _answered(self, job: Job, suite: Suite) -> Suite:
        """The suite, with fewer of the task's rows where only J has to be exact."""
        if job.row in FIRST:
            return suite
        return replace(suite, task=suite.task[: self.workshop.recipe.rival_task_rows])

    @contextmanager
    def _made(self, job: Job, bench: Bench, wanted: float) -> Iterator[Repaired]:
        # Before any repair: it remembers the target as it is.
        _ = bench.held_out
        kept = bench.recipe
        bench.recipe = recipe_of(kept, job.row)
        try:
            with self.rows(job.row)(bench, job, wanted) as repaired:
                yield repaired
        finally:
            bench.recipe = kept

    def _whole_cost(self, job: Job, cost: Cost) -> Cost:
        """The cost with what making took, for a row whose model the workshop keeps.

        Else a run that was stopped between making and measuring would forget it.
        """
        if job.row not in MADE:
            return cost
        making = self.workshop.makings[f"{MADE[job.row]}-{job.task}-{job.kind}"]
        return replace(
            cost,
            seconds=making.seconds,
            peak_memory_bytes=making.peak_memory_bytes,
        )

    def _bench_for(self, job: Job) -> Bench:
        """The job's target; the one before is let go."""
        bench = self._bench
        if bench is None or (bench.task, bench.kind) != (job.task, job.kind):
            self._bench = None
            del bench
            gc.collect()
            self._bench = Bench(
                self.workshop.recipe,
                self.workshop.data,
                self.workshop,
                job.task,
                job.kind,
                self.talk.progress,
            )
        assert self._bench is not None  # noqa: S101 - set just above
        return self._bench

    def _remaining(self, missing: Sequence[Job]) -> float:
        known = {row: mean(found) for row, found in self._seconds.items() if found}
        usual = mean(known.values()) if known else FIRST_GUESS_SECONDS
        return sum(known.get(job.row, usual) for job in missing)


def open_runner(recipe: Recipe, talk: Talk) -> Runner:
    """The runner of a recipe, on the packaged model and the data's prompts.

    Raises:
        MissingDataError: the prompts are not there.
        DemoSetupError: the model is not installed.
    """
    workshop = Workshop(
        recipe,
        load_data(data_directory(), recipe.tasks),
        StepCache(PLACE / "models"),
        Base.packaged(),
        talk.progress,
    )
    return Runner(workshop, CellStore(PLACE / "cells", COMMITTED), talk)


def chosen(jobs: Sequence[Job], pattern: str | None) -> list[Job]:
    """The jobs whose name holds a regular expression; all without one."""
    if pattern is None:
        return list(jobs)
    return [job for job in jobs if re.search(pattern, job.name)]


def found_cells(runner: Runner, jobs: Sequence[Job]) -> dict[Job, Cell]:
    """Those that were measured."""
    pairs = ((job, runner.cell(job)) for job in jobs)
    return {job: cell for job, cell in pairs if cell is not None}


def provenance() -> dict[str, str]:
    """Where and when a cell was measured."""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": str(machine()["processor"]),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "python": platform.python_version(),
    }


def _with_needs(job: Job) -> list[Job]:
    return [job] if job.needs is None else [job.needs, job]


def _glance(cell: Cell) -> str:
    rates = ", ".join(
        f"{name} {text.count('r') / len(text):.2f}"
        for name, text in cell.outcomes.items()
        if text
    )
    share = cell.correct.count("1") / max(1, len(cell.correct))
    right = f", right {share:.3f}" if cell.correct else ""
    kl = f", KL {cell.kl['mean']:.4f}" if cell.kl else ""
    return f"refused {rates}{right}{kl}; measured in {cell.measuring_seconds:.0f} s"
