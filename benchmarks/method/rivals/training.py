"""Ceiling rows: what training the target's weights on safety data reaches.

Source:
    One-shot: arXiv 2601.01887, a single refusal, ten epochs; safety data mixed into the
    task's: the usual remedy of who fine-tunes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.harness import watch_peak
from benchmarks.method.cells import Cost
from benchmarks.method.loaded import LoadedTarget
from benchmarks.method.plan import Job
from benchmarks.method.recipe import PAIRS
from benchmarks.method.repairs import Bench, Repaired
from examples.demo.tuning import Tuning, tune_weights
from safegene.evaluation.rows import PromptRow

TRAINING_WORK = 3
"""Forward equivalents of one row in one epoch: a forward and a backward."""

Rows = tuple[PromptRow, ...]


@contextmanager
def tuned_again(bench: Bench, job: Job, _: float) -> Iterator[Repaired]:
    """All weights of the target tuned on one refusal, or on the safety data."""
    settings = bench.recipe.ceilings
    if job.row == "one_shot":
        rows, tuning = bench.workshop.safety_rows({PAIRS: 1}), settings.one_shot
    else:
        rows = bench.workshop.safety_rows(settings.retune_rows)
        tuning = settings.retune
    model, cost = _train(bench, rows, tuning)
    yield Repaired(model, cost)


@contextmanager
def augmented(bench: Bench, job: Job, _: float) -> Iterator[Repaired]:
    """The target made anew, safety data mixed into the task's rows."""
    safety = bench.workshop.safety_rows(bench.recipe.ceilings.augment_rows)
    rows = (*bench.workshop.task_rows(job.task), *safety)
    begin = time.perf_counter()
    step = bench.workshop.tuned_target(
        f"augmented-{job.task}-{job.kind}", job.kind, rows
    )
    made = step.directory()
    if job.kind == "lora":
        loaded = LoadedTarget.open(bench.workshop.aligned.directory(), made)
    else:
        loaded = LoadedTarget.open(made)
    # Beside tuning that is done anyway, the safety rows are what it costs.
    cost = Cost(
        forward_equivalents=TRAINING_WORK * len(safety),
        seconds=round(time.perf_counter() - begin, 1),
        bytes_shipped=text_bytes(safety),
    )
    yield Repaired(loaded.model, cost)


def _train(bench: Bench, rows: Rows, tuning: Tuning) -> tuple[Any, Cost]:
    begin = time.perf_counter()
    with watch_peak() as peak:
        model = bench.target.exact_model()
        tune_weights(
            model,
            bench.target.tokenizer,
            rows,
            tuning,
            dtype=bench.target.dtype,
            progress=bench.progress,
        )
    cost = Cost(
        forward_equivalents=TRAINING_WORK * tuning.epochs * len(rows),
        seconds=round(time.perf_counter() - begin, 1),
        peak_memory_bytes=peak.size,
        bytes_shipped=text_bytes(rows),
    )
    return model.to(bench.target.dtype), cost


def text_bytes(rows: Rows) -> int:
    """Size of the data that has to be at hand."""
    return sum(len(row.prompt) + len(row.response or "") for row in rows)
