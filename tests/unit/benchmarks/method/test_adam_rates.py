"""Adam's learning rates: every schedule gone through once, and told."""

import json
import shutil
from dataclasses import replace

import pytest
from support.method_bench import make_runner, tiny_recipe

from benchmarks.method.adam_rates import Schedule, best_of, compare, explore, table
from benchmarks.method.cells import Cell, Cost
from benchmarks.method.repairs import Bench

SCHEDULES = ((0.05, 1), (0.4, 1), (0.4, 2))
DONE = Schedule(
    learning_rate=0.1,
    steps=100,
    objective_before=1.0,
    objective=0.4,
    kl=0.0195,
    held_out_kl=0.021,
    forward_equivalents=900,
    seconds=70.2,
    coefficients={"0": "0.5"},
    trace=[[100, 1.0], [400, 0.6], [700, 0.4]],
)
OURS = Cell(
    row="ours",
    task="ag_news",
    kind="lora",
    budget=0.02,
    suite="s",
    outcomes={},
    correct="",
    margins={},
    kl={"mean": 0.0187},
    cost=Cost(forward_equivalents=300, seconds=30.4),
    notes={
        "objective_after": "0.5",
        "realised_kl": "0.0199",
        "trace": [[50, 1.0], [200, 0.5]],
    },
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("rates")


@pytest.fixture(scope="module")
def found(place):
    """Every schedule, on the tiny target."""
    runner = make_runner(place, tiny_recipe(kinds=("lora",)))
    compare(runner, place / "out", SCHEDULES)
    return json.loads((place / "out" / "adam_rates.json").read_text("utf-8"))


def test_every_schedule_is_gone_through_in_its_order(found):
    gone = [(one["learning_rate"], one["steps"]) for one in found["schedules"]]

    assert gone == [*SCHEDULES]


def test_every_schedule_keeps_to_the_budget_and_tells_its_way(found):
    for one in found["schedules"]:
        assert one["objective"] <= one["objective_before"]
        assert one["kl"] <= 0.05
        assert one["held_out_kl"] >= 0
        works = [work for work, _ in one["trace"]]
        assert works == sorted(works)
        assert works[-1] <= one["forward_equivalents"]
        lowest = min(objective for _, objective in one["trace"])
        assert lowest == pytest.approx(one["objective"], abs=1e-5)
    assert len({one["forward_equivalents"] for one in found["schedules"]}) > 1
    assert found["ours"] is None


def test_a_second_run_goes_through_nothing(found, place, tmp_path):
    """On a machine that has the schedules and no model."""
    for step in (place / "models").glob("adam-schedule-*"):
        shutil.copytree(step, tmp_path / "models" / step.name)
    before = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert before
    runner = make_runner(tmp_path, tiny_recipe(kinds=("lora",)))

    compare(runner, tmp_path / "out", SCHEDULES)

    again = json.loads((tmp_path / "out" / "adam_rates.json").read_text("utf-8"))
    assert again["schedules"] == found["schedules"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == before


def test_the_file_is_there_after_the_first_schedule(found, place, tmp_path):
    runner = make_runner(place, tiny_recipe(kinds=("lora",)))
    asked = iter(SCHEDULES)

    def rates():
        yield next(asked)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(runner, tmp_path, rates())

    document = json.loads((tmp_path / "adam_rates.json").read_text("utf-8"))
    assert document["schedules"] == found["schedules"][:1]


def test_another_budget_is_another_schedule(found, place):
    """And the recipe of the bench is left as it was."""
    kept = {*(place / "models").glob("adam-schedule-*")}
    recipe = tiny_recipe(kinds=("lora",), budgets=(0.01,), main_budget=0.01)
    shop = make_runner(place, recipe).workshop
    bench = Bench(recipe, shop.data, shop, "ag_news", "lora", shop.progress)

    (other,) = explore(bench, SCHEDULES[:1])

    assert other.kl <= 0.01
    assert bench.recipe is recipe
    assert len({*(place / "models").glob("adam-schedule-*")} - kept) == 1


def test_the_cost_is_that_of_what_both_have_reached():
    """Ours ends at 0.5 after 200, Adam is first below that after 700."""
    assert DONE.cost_beside(OURS) == pytest.approx(200 / 700)
    assert replace(DONE, objective=0.6).cost_beside(OURS) == pytest.approx(200 / 400)


def test_the_best_schedule_has_the_lowest_objective():
    worse = replace(DONE, objective=0.9)

    assert best_of([worse, DONE, replace(DONE, steps=30)]) is DONE


def test_the_table_tells_ours_beside_every_schedule():
    lines = table([replace(DONE, objective=0.9, learning_rate=0.2), DONE], OURS)

    assert lines.splitlines()[2:] == [
        "| ours |  |  | 0.5000 | 0.0199 | 0.0187 | 300 | 30 |  |",
        "| Adam | 0.2 | 100 | 0.9000 | 0.0195 | 0.0210 | 900 | 70 | 0.50 |",
        "| **Adam** | 0.1 | 100 | 0.4000 | 0.0195 | 0.0210 | 900 | 70 | 0.29 |",
    ]
    assert "ours |" not in table([DONE], None).split("\n", 2)[2]
