"""Writes `method.json`, the tables and the plots."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import Benchmark
from benchmarks.method.cells import Cell
from benchmarks.method.figures import Pool
from benchmarks.method.plan import Job
from benchmarks.method.plots import write_frontiers
from benchmarks.method.runner import Runner
from benchmarks.method.suite import HARMLESS, LETTERS, LOOKALIKE, XSTEST, Ids
from benchmarks.method.summary import Measured, ratios, summarize
from benchmarks.method.table import frontier_markdown, markdown, target_markdown
from safegene.evaluation.outcomes import Outcome

TABLES_NAME = "tables.md"


def finish(
    benchmark: Benchmark, runner: Runner, cells: Mapping[Job, Cell], place: Path
) -> Path:
    """Tell everything that is known by now.

    Args:
        benchmark: writes the file; may hold ratios already.
        runner: knows the ids of the suites.
        cells: all that were measured.
        place: for the tables and the plots.
    """
    ids = {cell.suite: runner.store.ids(cell.suite) for cell in cells.values()}
    measured = Measured(runner.workshop.recipe, cells, ids)
    benchmark.settings = asdict(measured.recipe)
    benchmark.ratios |= ratios(measured)
    benchmark.extra = {
        "rows": row_figures(measured),
        "cells": [cell_document(job, cell, ids) for job, cell in cells.items()],
    }
    place.mkdir(parents=True, exist_ok=True)
    tables = tables_of(measured)
    (place / TABLES_NAME).write_text(tables, encoding="utf-8")
    for path in write_frontiers(measured, place):
        runner.talk.tell(f"drew {path}")
    print(tables)
    return benchmark.finish(summarize(measured), place.parent)


def tables_of(measured: Measured) -> str:
    """All tables in one text, for docs/benchmarks/method.md."""
    parts = {
        "## All rows": markdown(measured),
        "## Target by target": target_markdown(measured),
        "## Frontiers": frontier_markdown(measured),
    }
    return "\n".join(f"{head}\n\n{text}" for head, text in parts.items() if text)


def row_figures(measured: Measured) -> dict[str, Any]:
    """Pooled figures of every row with their intervals."""
    found: dict[str, Any] = {}
    for row in dict.fromkeys(job.row for job in measured.cells):
        pool = measured.pool_of({row: measured.row(row)})
        if pool is not None:
            found[row] = _figures(pool, row)
    return found


def _figures(pool: Pool, row: str) -> dict[str, Any]:
    figures = {
        "J": pool.j(row, LOOKALIKE),
        "J_xstest": pool.j(row, XSTEST),
        "refused_harmful": pool.refusal(row, pool.harmful),
        **{f"refused_{name}": pool.refusal(row, (name,)) for name in HARMLESS},
        **{
            f"{outcome}_harmful": pool.rate(row, pool.harmful, LETTERS[outcome])
            for outcome in Outcome
            if outcome is not Outcome.REFUSE
        },
        "accuracy": pool.accuracy(row),
    }
    return {
        "targets": ["-".join(target) for target in pool.targets],
        **{name: figure.to_json() for name, figure in figures.items()},
    }


def cell_document(job: Job, cell: Cell, ids: Mapping[str, Ids]) -> dict[str, Any]:
    """A cell with the outcome of every prompt under the prompt's id."""
    suite = ids[cell.suite]
    by_id = {
        name: dict(zip(suite[name], letters, strict=True))
        for name, letters in cell.outcomes.items()
    }
    correct = (
        dict(zip(suite["task"], cell.correct, strict=False)) if cell.correct else {}
    )
    facts = asdict(cell)
    return facts | {"name": job.name, "outcomes": by_id, "correct": correct}
