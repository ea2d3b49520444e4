"""Peak memory of recalibration beside plain inference, each in its own process.

Both run the aligned model, which every target of a kind is as large as, in the dtype
of all measurements and at recalibration's batch size.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.harness import Spread, peak_memory, print_own_peak
from benchmarks.method.data import data_directory, load_data
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


def measure(workshop: Workshop, *options: str) -> Spread:
    """Recalibration's peak over inference's, round by round.

    Args:
        workshop: whose aligned model and vector are used.
        options: of the command line, for the same recipe.
    """
    model = workshop.aligned.directory()
    vector = workshop.vector(workshop.recipe.pair).directory() / "vector"
    place = ("--model", str(model), "--vector", str(vector), *options)
    ratios = []
    for _ in range(ROUNDS):
        ours, plain = (
            peak_memory("benchmarks.method", "--memory", part, *place) for part in PARTS
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
