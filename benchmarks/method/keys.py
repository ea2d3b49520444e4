"""The key of a cell: a digest of everything its figures depend on.

Code counts only where it can move the row's figures, so that a change of one rival does
not cost the measurements of the others.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from benchmarks.method.fingerprints import code_digest
from benchmarks.method.plan import CEILINGS, FIRST, MATCHED, MODELS, OURS, Job
from benchmarks.method.plausibility import threshold_step
from benchmarks.method.recipe import PAIRS, recipe_of
from benchmarks.method.repairs import calibration_rows, held_out_rows
from benchmarks.method.suite import Suite
from benchmarks.method.workshop import Workshop
from safegene.artifact.digest import digest_bytes

HERE = "benchmarks/method"
MEASURING_CODE = (
    f"{HERE}/suite.py",
    f"{HERE}/held_out.py",
    f"{HERE}/loaded.py",
    f"{HERE}/repairs.py",
    "safegene/evaluation/outcomes.py",
    "safegene/evaluation/refusal.py",
    "safegene/evaluation/generation.py",
    "safegene/evaluation/batches.py",
    "safegene/evaluation/accuracy.py",
    "safegene/evaluation/margin.py",
    "safegene/evaluation/openers.py",
    "safegene/vectors/chat.py",
)
RECALIBRATION_CODE = (
    "safegene/vectors/recalibrate",
    "safegene/vectors/attach.py",
    "safegene/vectors/chat.py",
    "safegene/vectors/factors.py",
    "safegene/vectors/targets.py",
    "safegene/vectors/vector.py",
    "safegene/evaluation/openers.py",
)
ROW_CODE: Mapping[str, tuple[str, ...]] = {
    "uniform": (f"{HERE}/rivals/uniform.py", f"{HERE}/matching.py"),
    "uniform_distilled": (f"{HERE}/rivals/uniform.py", f"{HERE}/matching.py"),
    "random": (f"{HERE}/rivals/uniform.py", f"{HERE}/matching.py"),
    "dare": (f"{HERE}/rivals/uniform.py", f"{HERE}/matching.py"),
    "safelora": (f"{HERE}/rivals/projection.py", f"{HERE}/matching.py"),
    "safemerge": (f"{HERE}/rivals/projection.py", f"{HERE}/matching.py"),
    "scaled_task": (f"{HERE}/rivals/projection.py", f"{HERE}/matching.py"),
    "one_shot": (f"{HERE}/rivals/training.py", "examples/demo/tuning.py"),
    "retune": (f"{HERE}/rivals/training.py", "examples/demo/tuning.py"),
    "augment": (f"{HERE}/rivals/training.py", "examples/demo/tuning.py"),
    "dpo": (f"{HERE}/rivals/preference.py",),
}
KL_DIGITS = 4
"""Significant digits of the KL to match that a rival's key holds."""

_digest = cache(code_digest)


def cell_key(job: Job, workshop: Workshop, suite: Suite, wanted_kl: float) -> str:
    """The key of a job's cell.

    Args:
        job: the row, its target and budget.
        workshop: whose keys stand for the models.
        suite: what is measured.
        wanted_kl: what a rival's KL is matched to; 0 for other rows.
    """
    recipe = workshop.recipe
    facts = {
        "row": job.row,
        "budget": job.budget,
        "suite": suite.key,
        "test": asdict(recipe.test),
        "measuring": _digest(*MEASURING_CODE),
        "plausibility": threshold_step(workshop).key,
        "code": _digest(*ROW_CODE.get(job.row, ())),
        **_model_facts(job, workshop),
    }
    if job.row not in FIRST:
        facts["task_rows"] = recipe.rival_task_rows
    if job.row in OURS:
        facts |= _calibration_facts(job, workshop)
    if job.row in MATCHED:
        facts |= {
            "wanted_kl": f"{wanted_kl:.{KL_DIGITS}g}",
            "settings": asdict(recipe.rivals),
            "vector": workshop.vector(recipe_of(recipe, job.row).pair).key,
        }
    if job.row in CEILINGS:
        facts |= _ceiling_facts(workshop)
    return digest_bytes(repr(sorted(facts.items())).encode()).hex[:16]


def _model_facts(job: Job, workshop: Workshop) -> dict[str, Any]:
    if job.row in MODELS:
        name = {"degraded": "drift"}.get(job.row, job.row)
        return {"model": workshop.model(name).key}
    held_out = held_out_rows(workshop.recipe, workshop.data, job.task)
    return {
        "target": workshop.target(job.task, job.kind).key,
        "kl": asdict(workshop.recipe.kl),
        "held_out": _rows_digest(held_out),
    }


def _calibration_facts(job: Job, workshop: Workshop) -> dict[str, Any]:
    recipe = recipe_of(workshop.recipe, job.row)
    pair = "shipped" if job.row == "ours_shipped_pair" else recipe.pair
    rows = calibration_rows(recipe, workshop.data, job.task).sets()
    return {
        "vector": workshop.vector(pair).key,
        "rows": _rows_digest(rows),
        "objective": asdict(recipe.objective),
        "effort": asdict(recipe.effort),
        "search": asdict(recipe.search),
        "granularity": recipe.granularity,
        "adam": asdict(recipe.adam) if job.row == "ours_adam" else None,
        "seed": recipe.seed,
        "recalibration": _digest(*RECALIBRATION_CODE),
    }


def _ceiling_facts(workshop: Workshop) -> dict[str, Any]:
    settings = workshop.recipe.ceilings
    rows = {
        "retune": workshop.safety_rows(settings.retune_rows),
        "augment": workshop.safety_rows(settings.augment_rows),
        "dpo": workshop.safety_rows({PAIRS: settings.dpo_rows}),
    }
    return {"settings": asdict(settings), "rows": _rows_digest(rows)}


def _rows_digest(rows: Mapping[str, Any]) -> str:
    return str(digest_bytes(repr(sorted(rows.items())).encode()))
