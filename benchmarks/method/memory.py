"""Peak memory of recalibration beside plain inference, each in its own process.

Both run the aligned model, which every target of a kind is as large as, in the dtype
of all measurements and at recalibration's batch size. It is measured once and kept.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.harness import Spread, peak_memory, print_own_peak
from benchmarks.method.data import data_directory, load_data
from benchmarks.method.fingerprints import code_digest
from benchmarks.method.keys import RECALIBRATION_CODE
from benchmarks.method.recipe import Recipe
from benchmarks.method.repairs import calibration_rows
from benchmarks.method.workshop import Workshop
from examples.demo.models import load_model
from safegene.evaluation.generation import generate_answers
from safegene.evaluation.rows import prompts_of
from safegene.vectors.peft_format import load_vector
from safegene.vectors.recalibrate import recalibrate_coefficients

PARTS = ("recalibration", "inference")
ROUNDS = 2
SHORT: dict[str, Any] = {"kl_trials": 1, "fractions": (1.0,), "trials": 1, "slopes": 1}
"""One pass of each kind: more of them need more time, not more memory."""


def kept_ratio(workshop: Workshop, *places: Path) -> Spread | None:
    """What was measured before, for the vector and the code there are now."""
    path = _find(workshop, *places)
    return None if path is None else Spread.of(json.loads(path.read_text("utf-8")))


def measure_once(
    workshop: Workshop,
    written: Path,
    *read_only: Path,
    measure: Callable[[Workshop], Spread],
) -> Spread:
    """Measure the ratio unless it is kept in one of the places.

    Args:
        workshop: whose aligned model and vector are used, and made if need be.
        written: where it is kept.
        read_only: where it may be, too.
        measure: how it is measured.
    """
    known = kept_ratio(workshop, written, *read_only)
    if known is not None:
        return known
    found = measure(workshop)
    written.mkdir(parents=True, exist_ok=True)
    part = written / f"{_name(workshop)}.part"
    part.write_text(json.dumps(found.values) + "\n", encoding="utf-8")
    part.rename(written / _name(workshop))
    return found


def publish_ratio(workshop: Workshop, written: Path, pages: Path) -> None:
    """Make `pages` hold the ratio there is now and no older one."""
    path = _find(workshop, written, pages)
    for old in pages.glob("memory-*.json"):
        if old != path:
            old.unlink()
    if path is not None and path.parent != pages:
        pages.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, pages / path.name)


def _find(workshop: Workshop, *places: Path) -> Path | None:
    paths = (place / _name(workshop) for place in places)
    return next((path for path in paths if path.is_file()), None)


def _name(workshop: Workshop) -> str:
    vector = workshop.vector(workshop.recipe.published).key
    return f"memory-{vector}-{code_digest(*RECALIBRATION_CODE)[-12:]}.json"


def measured_ratio(
    workshop: Workshop, *options: str, peak: Callable[..., int] = peak_memory
) -> Spread:
    """Recalibration's peak over inference's, round by round.

    Args:
        workshop: whose aligned model and vector are used.
        options: of the command line, for the same recipe.
        peak: runs a part of the benchmark in a process of its own; gives bytes.
    """
    model = workshop.aligned.directory()
    vector = workshop.vector(workshop.recipe.published).directory() / "vector"
    place = ("--model", str(model), "--vector", str(vector), *options)
    ratios = []
    for _ in range(ROUNDS):
        ours, plain = (
            peak("benchmarks.method", "--memory", part, *place) for part in PARTS
        )
        ratios.append(ours / plain)
    return Spread.of(ratios)


def run_part(part: str, recipe: Recipe, model_dir: Path, vector_dir: Path) -> None:
    """Do one of the two alone and print its peak, model included."""
    data = load_data(data_directory(), recipe.tasks)
    rows = calibration_rows(recipe, data, recipe.tasks[0])
    vector = load_vector(vector_dir)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    with print_own_peak():
        model = load_model(model_dir)
        if part == "inference":
            generate_answers(
                model,
                tokenizer,
                [
                    prompt
                    for kind in rows.sets().values()
                    for prompt in prompts_of(kind)
                ],
                max_new_tokens=recipe.effort.response_tokens,
                batch_size=recipe.effort.batch_size,
            )
        else:
            recalibrate_coefficients(
                model,
                tokenizer,
                vector,
                rows,
                budget=recipe.main_budget,
                granularity=recipe.granularity,
                objective=recipe.objective,
                effort=recipe.effort,
                search=replace(recipe.search, **SHORT),
            )
