"""The rows: what each does to a loaded target, and what that takes.

A row gives a model to measure for as long as its block lasts.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from benchmarks.harness import watch_peak
from benchmarks.method.cells import Cost
from benchmarks.method.data import Data
from benchmarks.method.held_out import HeldOut
from benchmarks.method.loaded import LoadedTarget, load_exact, weights_of
from benchmarks.method.matching import match_kl
from benchmarks.method.plan import Job
from benchmarks.method.recipe import Recipe
from benchmarks.method.rivals import projection, uniform
from benchmarks.method.rivals.weights import Models, Rival
from benchmarks.method.workshop import Workshop
from safegene.artifact.calibration import Calibration
from safegene.evaluation.rows import PromptRow
from safegene.vectors.peft_format import load_vector
from safegene.vectors.recalibrate import (
    CalibrationData,
    Solver,
    recalibrate_coefficients,
)
from safegene.vectors.vector import SafetyVector


@dataclass
class Repaired:
    """A model to measure, with what it took to make it."""

    model: Any
    cost: Cost = field(default_factory=Cost)
    notes: dict[str, Any] = field(default_factory=dict)
    is_target: bool = True
    """Whether it is the target, repaired, and not another model altogether."""


@dataclass
class Bench:
    """One target on the bench: what its rows need, each loaded when first asked for."""

    recipe: Recipe
    data: Data
    workshop: Workshop
    task: str
    kind: str
    progress: Callable[[str, int, int], None]

    @cached_property
    def target(self) -> LoadedTarget:
        """The target itself."""
        made = self.workshop.target(self.task, self.kind).directory()
        if self.kind == "lora":
            return LoadedTarget.open(self.workshop.aligned.directory(), made)
        return LoadedTarget.open(made)

    @cached_property
    def held_out(self) -> HeldOut:
        """Measures the KL; must be made while the target is untouched."""
        return HeldOut(
            self.target.model,
            self.target.tokenizer,
            held_out_rows(self.recipe, self.data, self.task),
            self.recipe.kl,
        )

    @cached_property
    def models(self) -> Models:
        """What the rivals compute with."""
        return Models(
            target=self.target.weights,
            aligned=weights_of(self.workshop.aligned.directory()),
            degraded=weights_of(self.workshop.model(self.recipe.pair).directory()),
            linear=self.target.linear,
        )

    def vector(self, pair: str) -> SafetyVector:
        """The published vector of a pair."""
        return load_vector(self.workshop.vector(pair).directory() / "vector")

    @cached_property
    def calibration_data(self) -> CalibrationData:
        """What recalibration learns from."""
        return calibration_rows(self.recipe, self.data, self.task)


def calibration_rows(recipe: Recipe, data: Data, task: str) -> CalibrationData:
    """What recalibration learns from on the targets of a task."""
    rows = recipe.calibration

    def of(counts: Mapping[str, int]) -> tuple[PromptRow, ...]:
        return tuple(
            row
            for name, count in counts.items()
            for row in data.take(f"calibration/{name}", count)
        )

    return CalibrationData(
        harmful=of(rows.harmful),
        lookalike=of(rows.lookalike),
        task=of({task: rows.task}),
        general=of({"dolly": rows.general}),
    )


def held_out_rows(recipe: Recipe, data: Data, task: str) -> dict[str, Any]:
    """Rows for the KL: from the end of the test splits, where accuracy seldom draws."""
    return {
        "task": data.splits[f"test/{task}"][-recipe.kl.task :],
        "ordinary": data.splits["test/dolly"][-recipe.kl.ordinary :],
    }


@contextmanager
def as_it_is(bench: Bench, _: Job, __: float) -> Iterator[Repaired]:
    """The target alone."""
    yield Repaired(bench.target.model)


@contextmanager
def another_model(bench: Bench, job: Job, _: float) -> Iterator[Repaired]:
    """The aligned model or one of the degraded ones, on this target's prompts."""
    name = {"degraded": "drift"}.get(job.row, job.row)
    model = load_exact(bench.workshop.model(name).directory())
    yield Repaired(model.to(bench.target.dtype), is_target=False)


@contextmanager
def ours(bench: Bench, job: Job, _: float) -> Iterator[Repaired]:
    """Recalibrated for this target; another solver or another pair by the row."""
    pair = "shipped" if job.row == "ours_shipped_pair" else bench.recipe.pair
    vector = bench.vector(pair)
    calibration, cost, trace = _recalibrate(bench, vector, job)
    shipped = uniform.uniform(vector).bytes_shipped + len(calibration.to_bytes())
    changed = vector.scaled(calibration.values)
    delta = {f"{path}.weight": part.delta() for path, part in changed.factors.items()}
    with bench.target.changed(delta) as model:
        notes = _calibration_notes(calibration) | {"trace": trace}
        yield Repaired(model, replace(cost, bytes_shipped=shipped), notes)


def _recalibrate(
    bench: Bench, vector: SafetyVector, job: Job
) -> tuple[Calibration, Cost, list[list[float]]]:
    """The calibration, its cost, and work and objective of every point measured."""
    recipe = bench.recipe
    trace: list[list[float]] = []
    data = bench.calibration_data
    begin = time.perf_counter()
    with watch_peak() as peak:
        calibration = recalibrate_coefficients(
            bench.target.model,
            bench.target.tokenizer,
            vector,
            data,
            budget=recipe.main_budget if job.budget is None else job.budget,
            seed=recipe.seed,
            progress=bench.progress,
            granularity=recipe.granularity,
            solver=Solver.ADAM if job.row == "ours_adam" else Solver.TRUST_REGION,
            objective=recipe.objective,
            effort=recipe.effort,
            search=recipe.search,
            adam=recipe.adam,
            watch=lambda seen: trace.append(
                [seen.forward_equivalents, round(seen.objective, 6)]
            ),
        )
    seconds = round(time.perf_counter() - begin, 1)
    cost = Cost(calibration.forward_equivalents, seconds, peak.size)
    return calibration, cost, trace


def _calibration_notes(calibration: Calibration) -> dict[str, Any]:
    found = calibration.model_dump(mode="json", exclude_none=True)
    numbers = (
        "coefficients",
        "uniform_coefficient",
        "budget",
        "predicted_kl",
        "realised_kl",
        "objective_before",
        "objective_uniform",
        "objective_after",
        "solver",
    )
    return {name: found[name] for name in numbers if name in found}


def _build_rival(bench: Bench, row: str) -> Rival:
    settings = bench.recipe.rivals
    builders: Mapping[str, Callable[[], Rival]] = {
        "uniform": lambda: uniform.uniform(bench.vector(bench.recipe.pair)),
        "random": lambda: uniform.noise(
            bench.vector(bench.recipe.pair), seed=settings.seed
        ),
        "dare": lambda: uniform.dare(
            bench.models, drop=settings.dare_drop, seed=settings.seed
        ),
        "safelora": lambda: projection.SafeLora(bench.models),
        "safemerge": lambda: projection.SafeMerge(
            bench.models, _safe_change(bench), threshold=settings.safemerge_threshold
        ),
        "scaled_task": lambda: projection.scaled_task(bench.models),
    }
    return builders[row]()


def _safe_change(bench: Bench) -> dict[str, Any]:
    """What safety tuning changed: the adapter the aligned model was made with."""
    shipped = weights_of(bench.workshop.shipped.directory())
    return {
        name: bench.models.aligned[name] - shipped[name] for name in bench.target.linear
    }


@contextmanager
def matched(bench: Bench, job: Job, wanted: float) -> Iterator[Repaired]:
    """A rival at the strength whose held-out KL is that of ours."""
    if wanted == 0:  # ours found nothing better than no vector at all
        notes: dict[str, Any] = {"strength": 0.0, "wanted_kl": 0.0, "matched": True}
        yield Repaired(bench.target.model, notes=notes)
        return
    held_out = bench.held_out

    def kl(strength: float) -> float:
        with bench.target.changed(rival.delta(strength)) as model:
            found = held_out.kl(model)["mean"]
        # A model that broke down moved further than any budget.
        return found if found == found else float("inf")  # noqa: PLR0124

    begin = time.perf_counter()
    with watch_peak() as peak:
        rival = _build_rival(bench, job.row)
        match = match_kl(
            kl,
            wanted,
            highest=rival.highest,
            tolerance=bench.recipe.kl.tolerance,
            trials=bench.recipe.kl.trials,
        )
    cost = Cost(
        forward_equivalents=match.measured * held_out.size,
        seconds=round(time.perf_counter() - begin, 1),
        peak_memory_bytes=peak.size,
        bytes_shipped=rival.bytes_shipped,
    )
    notes = {
        "strength": round(match.strength, 5),
        "wanted_kl": wanted,
        "matched": match.reached,
    }
    with bench.target.changed(rival.delta(match.strength)) as model:
        yield Repaired(model, cost, notes)


RowFunction = Callable[[Bench, Job, float], AbstractContextManager[Repaired]]
"""Given the bench, the job and the KL to match (0 where none is)."""
