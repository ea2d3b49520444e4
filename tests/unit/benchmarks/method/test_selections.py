"""Half of the layers beside all of them: measured once, paired with ours, told."""

import json
import shutil

import pytest
from support.method_bench import make_runner, tiny_recipe

from benchmarks.method.plan import Job
from benchmarks.method.recipe import CalibrationRows
from benchmarks.method.selections import RANKINGS, compare, table

RECIPE = tiny_recipe(
    kinds=("lora",),
    calibration=CalibrationRows(
        harmful={"safety_tuned": 6, "malicious": 10},
        lookalike={"coconot": 4, "own_lookalike": 4},
        task=4,
        general=4,
    ),
)
NAMES = [str(ranking) for ranking in RANKINGS]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("selections")


@pytest.fixture(scope="module")
def found(place):
    """Every ranking on the tiny target, beside ours."""
    runner = make_runner(place, RECIPE)
    runner.run([Job("ag_news", "lora", "ours", RECIPE.main_budget)])
    compare(runner, place / "out")
    return _read(place / "out")


def _read(out):
    return json.loads((out / "selections.json").read_text("utf-8"))["selections"]


def test_every_ranking_keeps_half_of_the_layers(found):
    assert [*found] == NAMES
    for name in NAMES:
        (one,) = found[name]["measured"]
        assert one["ranking"] == name
        assert one["target"] == "ag_news-lora"
        assert len(one["layers"]) == 1
        assert one["slowdown"] > 0
        assert one["held_out_kl"] >= 0


def test_figures_are_paired_with_ours(found, place):
    mine = make_runner(place, RECIPE).cell(
        Job("ag_news", "lora", "ours", RECIPE.main_budget)
    )

    def refused(outcomes, *names):
        letters = "".join(outcomes[name] for name in names)
        return letters.count("r") / len(letters)

    def j(outcomes):
        harmful = refused(outcomes, "advbench", "beavertails", "xstest_unsafe")
        return harmful - refused(outcomes, "coconot")

    for name in NAMES:
        (one,) = found[name]["measured"]
        figures = found[name]["figures"]
        assert figures["J"]["value"] == pytest.approx(j(one["outcomes"]), abs=1e-5)
        behind = j(mine.outcomes) - j(one["outcomes"])
        assert figures["J_behind"]["value"] == pytest.approx(behind, abs=1e-5)


def test_a_second_run_measures_nothing_and_needs_no_ours(found, place, tmp_path):
    """On a machine that has the selections and no model."""
    for step in (place / "models").glob("selection-*"):
        shutil.copytree(step, tmp_path / "models" / step.name)
    before = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert len(before) == len(RANKINGS)

    compare(make_runner(tmp_path, RECIPE), tmp_path / "out")

    again = _read(tmp_path / "out")
    assert [again[name]["measured"] for name in NAMES] == [
        found[name]["measured"] for name in NAMES
    ]
    assert all(again[name]["figures"] == {} for name in NAMES)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == before


def test_the_table_tells_how_far_behind():
    figure = {"value": 0.1, "low": 0.05, "high": 0.2}
    row = {
        "measured": [{"objective": 0.91234, "slowdown": 1.234}],
        "figures": dict.fromkeys(("J", "J_behind", "J_behind_xstest"), figure),
    }

    lines = table({"score": row, "random": row | {"figures": {}}}).splitlines()

    text = "0.10 [0.05, 0.20]"
    assert lines[2:] == [
        f"| score | 1 | {text} | {text} | {text} | 0.912 | 1.23 |",
        "| random | 1 |  |  |  | 0.912 | 1.23 |",
    ]
