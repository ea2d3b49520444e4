"""The whole benchmark on a tiny random model and made-up data."""

import json
import re
import shutil

import pytest
from support.method_bench import make_runner, tiny_recipe

from benchmarks.harness import Benchmark
from benchmarks.method.plan import OURS, Job, jobs
from benchmarks.method.recipe import DISTILLED, EVERY_ROW
from benchmarks.method.runner import found_cells
from benchmarks.method.telling import finish
from safegene.vectors.peft_format import load_vector


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Every row, on both kinds of targets."""
    place = tmp_path_factory.mktemp("method")
    recipe = tiny_recipe(rows=EVERY_ROW)
    runner = make_runner(place, recipe)
    assert runner.run(jobs(recipe)) == 0
    return place, runner


def test_every_cell_is_measured_on_all_prompts(measured):
    _, runner = measured
    recipe = runner.workshop.recipe
    cells = found_cells(runner, jobs(recipe))

    assert len(cells) == 2 * len(EVERY_ROW)
    for cell in cells.values():
        counts = {name: len(letters) for name, letters in cell.outcomes.items()}
        assert counts == {
            "advbench": 4,
            "beavertails": 2,
            "xstest_unsafe": 2,
            "coconot": 4,
            "xstest_safe": 4,
            "dolly": 4,
        }
        assert set("".join(cell.outcomes.values())) <= set("rcdo")


def test_the_target_itself_has_no_kl_and_others_have(measured):
    _, runner = measured
    cells = found_cells(runner, jobs(runner.workshop.recipe))
    kls = {(c.kind, c.row): c.kl and c.kl["mean"] for c in cells.values()}

    for kind in ("lora", "full"):
        assert kls[kind, "target"] == 0
        assert kls[kind, "aligned"] is None
        for row in ("one_shot", "retune", "augment", "dpo"):
            assert kls[kind, row] > 0
        # Rivals move as far as ours, which may be not at all.
        for row in ("scaled_task", "dare", "random"):
            assert (kls[kind, row] > 0) == (kls[kind, "ours"] > 0)
    assert max(kls["lora", "ours"], kls["full", "ours"]) > 0


def test_rivals_stand_at_the_kl_of_ours_or_say_so(measured):
    _, runner = measured
    cells = found_cells(runner, jobs(runner.workshop.recipe))
    mine = {c.kind: c.kl["mean"] for c in cells.values() if c.row == "ours"}

    for cell in cells.values():
        if cell.row in {"uniform", "dare", "random", "scaled_task"}:
            assert cell.notes["wanted_kl"] == mine[cell.kind]
            near = abs(cell.kl["mean"] - mine[cell.kind]) <= 0.06 * mine[cell.kind]
            assert cell.notes["matched"] is near


def test_training_costs_more_passes_than_measuring(measured):
    _, runner = measured
    cells = found_cells(runner, jobs(runner.workshop.recipe))
    work = {
        (cell.kind, cell.row): cell.cost.forward_equivalents for cell in cells.values()
    }

    assert work["lora", "retune"] == 3 * 8
    assert work["lora", "one_shot"] == 3 * 2
    assert work["lora", "dpo"] == 2 + 8 * 2
    assert work["lora", "target"] == 0
    assert work["lora", "ours"] > 0
    assert work["lora", "ours_adam"] > 0


def test_rows_with_settings_of_their_own_are_made_with_them(measured):
    _, runner = measured
    cells = found_cells(runner, jobs(runner.workshop.recipe))
    before = {
        cell.row: float(cell.notes["objective_before"])
        for cell in cells.values()
        if cell.kind == "lora" and cell.row in OURS
    }

    assert before["ours_quick"] != before["ours_lookalikes"] != before["ours"]
    assert before["ours_adam"] == before["ours"]


def test_the_published_vector_is_the_distilled_one(tmp_path):
    rows = ("ours", "uniform", "uniform_distilled")
    recipe = tiny_recipe(rows=rows, kinds=("lora",), published=DISTILLED)
    runner = make_runner(tmp_path, recipe)

    assert runner.run(jobs(recipe)) == 0

    vector = load_vector(runner.workshop.distilled.directory() / "vector")
    assert vector.recipe.method == "distill"
    assert {entry.name: entry.rows for entry in vector.recipe.data} == {
        "harmful": 16,
        "benign": 8 + 6 + 4,
    }


def test_rows_of_another_vector_have_keys_of_their_own(tmp_path):
    drift, distilled = (
        make_runner(tmp_path, tiny_recipe(published=name))
        for name in ("drift", DISTILLED)
    )
    job = Job("ag_news", "lora", "ours", 0.05)
    delta = Job("ag_news", "lora", "ours_delta", 0.05)

    assert drift.key(job) != distilled.key(job)
    assert drift.key(delta) == distilled.key(delta)


def test_cells_hold_no_text(measured):
    place, _ = measured
    paths = [*(place / "cells").glob("*.json")]

    assert paths
    for path in paths:
        assert not re.search(r"answer \d|tell a", path.read_text("utf-8"))


def test_a_second_run_measures_nothing_and_makes_no_model(measured, tmp_path):
    """On another machine that has the cells alone."""
    place, runner = measured
    recipe = runner.workshop.recipe
    said = []

    other = make_runner(tmp_path, recipe, place / "cells", said=said)

    assert other.run(jobs(recipe)) == 0
    assert not (tmp_path / "models").exists()
    assert not (tmp_path / "cells").exists()
    assert len(said) == 1


def test_everything_is_told(measured, capsys):
    place, runner = measured
    cells = found_cells(runner, jobs(runner.workshop.recipe))
    benchmark = Benchmark("method", "Is it better?", {})

    path = finish(benchmark, runner, cells, place / "bench" / "method")

    document = json.loads(path.read_text("utf-8"))
    summary = document["summary"]
    assert summary["harmful_prompts"] == 16
    assert summary["accuracy_rows"] == 12
    for name in (
        *("J_recovered", "J_recovered_xstest", "over_refusal_vs_aligned_points"),
        *("accuracy_drop_points", "degenerate_rise_points"),
    ):
        assert name in summary
        assert name in summary["intervals"]
    assert summary["beats_every_posthoc_rival"] in {True, False}
    assert set(document["ratios"]) == {"cost_vs_adam", "cost_vs_retuning"}
    assert document["settings"]["name"] == "tiny"
    outcomes = document["cells"][0]["outcomes"]["advbench"]
    assert len(outcomes) == 4
    tables = (place / "bench" / "method" / "tables.md").read_text("utf-8")
    assert "| **ours** |" in tables
    assert "| SafeMERGE |" in tables
    assert tables in capsys.readouterr().out


def test_a_run_that_was_stopped_goes_on(tmp_path):
    recipe = tiny_recipe(kinds=("lora",))
    said = []
    runner = make_runner(tmp_path, recipe, said=said)
    plan = jobs(recipe)

    assert runner.run(plan, minutes=0) == len(plan)
    runner.run(plan[:1])
    again = make_runner(tmp_path, recipe, said=said)
    assert again.run(plan, minutes=0) == len(plan) - 1


def test_what_making_took_outlives_a_run_that_was_stopped(tmp_path):
    """Stopped after the model was made and before it was measured."""
    recipe = tiny_recipe(rows=("augment",))
    first = make_runner(tmp_path, recipe)
    first.run(jobs(recipe))
    shutil.rmtree(tmp_path / "cells")
    kept = [*(tmp_path / "models").glob("augmented-*")]
    for folder in kept:
        for name, value in (("seconds", 12.5), ("peak", 34567)):
            file = folder / f"{name}.json"
            (unit,) = json.loads(file.read_text("utf-8"))
            file.write_text(json.dumps({unit: value}), encoding="utf-8")

    again = make_runner(tmp_path, recipe)
    again.run(jobs(recipe))

    cells = found_cells(again, jobs(recipe)).values()
    assert len(cells) == len(kept) == 2
    for cell in cells:
        assert cell.cost.seconds == 12.5
        assert cell.cost.peak_memory_bytes == 34567


def test_a_rival_alone_brings_ours_along(tmp_path):
    recipe = tiny_recipe(kinds=("lora",))
    runner = make_runner(tmp_path, recipe)
    uniform = [job for job in jobs(recipe) if job.row == "uniform"]

    with pytest.raises(ValueError, match="needs ag_news-lora-ours"):
        runner.measure(uniform[0])
    runner.run(uniform)

    assert {job.row for job in found_cells(runner, jobs(recipe))} == {"ours", "uniform"}
