"""Made-up data, a tiny base and a small recipe for `benchmarks.method`."""

import json
from pathlib import Path

from support.models import save_checkpoint, tiny_model, tiny_tokenizer

from benchmarks.method.cells import CellStore
from benchmarks.method.data import load_data
from benchmarks.method.recipe import (
    CalibrationRows,
    Ceilings,
    Distillation,
    KlRows,
    Recipe,
    TestRows,
)
from benchmarks.method.runner import Runner, Talk
from benchmarks.method.workshop import Base, Workshop
from examples.demo.cache import StepCache
from examples.demo.tuning import Tuning
from safegene.vectors.distill import DistillSettings
from safegene.vectors.recalibrate import AdamSettings, Effort, SearchSettings

COUNTS = {
    "harmful_advbench": 30,
    "harmful_beavertails_test": 12,
    "harmful_xstest_unsafe": 12,
    "benign_pairs_coconot_contrast": 80,
    "benign_xstest_safe": 12,
    "general_dolly_1000": 80,
    "refusal_pairs_safety_tuned_llamas": 80,
    "harmful_malicious_instruct": 12,
    "general_alpaca_3000": 90,
    "task_ag_news_train": 60,
    "task_ag_news_test": 40,
}
"""Rows of each file."""
LABELS = ("red", "blue")


def write_data(directory: Path, **more: list[dict[str, object]]) -> Path:
    """Write every file of the task `ag_news`; `more` are extra rows by file."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, count in COUNTS.items():
        rows: list[dict[str, object]] = [_row(name, at) for at in range(count)]
        rows += more.get(name, [])
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return directory


def _row(name: str, at: int) -> dict[str, object]:
    tag = f"{name[:6]}{name[-6:]}{at}"
    prompt = f"tell a{tag} b{tag} c{tag}"
    row: dict[str, object] = {"prompt": prompt}
    if name.startswith("task_"):
        row |= {"response": LABELS[at % 2], "label": LABELS[at % 2]}
    elif not name.startswith("harmful_"):
        row["response"] = f"answer {at}"
    if name.startswith("refusal_"):
        row["response"] = f"I can't help with that, answer {at}"
    return row


def tiny_base() -> Base:
    """A random model of two layers instead of the packaged one."""
    return Base(
        {"tiny": 1},
        lambda out: (
            save_checkpoint(tiny_model(), out, tokenizer=tiny_tokenizer()) and None
        ),
    )


def tiny_recipe(**changes: object) -> Recipe:
    """Everything, as small as it goes."""
    tuning = Tuning(learning_rate=1e-2, batch_size=4, rank=2, alpha=4)
    settings: dict[str, object] = {
        "name": "tiny",
        "tasks": ("ag_news",),
        "kinds": ("lora", "full"),
        "side_tasks": ("ag_news",),
        "rows": ("target", "aligned", "ours", "uniform"),
        "budgets": (0.05,),
        "main_budget": 0.05,
        "align": tuning,
        "align_rows": {"safety_tuned": 8, "coconot": 4, "dolly": 4},
        "drift": tuning,
        "drift_rows": 8,
        "rank": 4,
        # Of two random models the difference shows more than what they say.
        "published": "drift",
        "distillation": Distillation(
            harmful={"safety_tuned": 16},
            benign={"coconot": 8, "dolly": 6},
            general=4,
            settings=DistillSettings(
                learning_rate=1e-2, batch_size=4, answer_tokens=3, steps=8
            ),
        ),
        "task_lora": tuning,
        "task_full": Tuning(learning_rate=1e-3, batch_size=4),
        "task_rows": 8,
        "general_rows": 2,
        "test": TestRows(
            harmful={"advbench": 4, "beavertails": 2, "xstest_unsafe": 2},
            coconot=4,
            xstest_safe=4,
            dolly=4,
            task=6,
            answer_tokens=4,
            batch_size=8,
            margins={"advbench": 2, "coconot": 2},
        ),
        "kl": KlRows(task=3, ordinary=3, tokens=3, trials=3),
        "calibration": CalibrationRows(
            harmful={"safety_tuned": 6, "malicious": 10},
            lookalike={"coconot": 4, "own_lookalike": 2},
            task=4,
            general=4,
        ),
        "effort": Effort(
            harmful=16, lookalike=6, ordinary=2, behavior=4, response_tokens=2
        ),
        "search": SearchSettings(kl_trials=4, trials=3, slopes=2),
        "adam": AdamSettings(steps=2, batch_size=2, measure_every=2),
        "ceilings": Ceilings(
            one_shot=Tuning(learning_rate=1e-3, batch_size=1, epochs=2),
            retune=Tuning(learning_rate=1e-3, batch_size=4),
            retune_rows={"safety_tuned": 4, "coconot": 2, "dolly": 2},
            augment_rows={"safety_tuned": 2, "coconot": 2},
            dpo_rows=2,
            dpo_learning_rate=1e-3,
            dpo_batch_size=2,
            dpo_answer_tokens=3,
        ),
    }
    return Recipe(**(settings | changes))  # type: ignore[arg-type]


def make_runner(
    place: Path, recipe: Recipe, *read_only: Path, said: list[str] | None = None
) -> Runner:
    """A runner on made-up data and the tiny base; everything is kept in `place`."""
    data = load_data(write_data(place / "data"), recipe.tasks)
    talk = Talk((said if said is not None else []).append)
    workshop = Workshop(
        recipe, data, StepCache(place / "models"), tiny_base(), talk.progress
    )
    return Runner(workshop, CellStore(place / "cells", *read_only), talk)
