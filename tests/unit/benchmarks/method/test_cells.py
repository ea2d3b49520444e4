"""Cells are kept by content, the plan is in order, code digests see code alone."""

import json
import re
from dataclasses import replace

import pytest
from support.method_bench import tiny_base, tiny_recipe, write_data

from benchmarks.method.__main__ import parser, recipe_for
from benchmarks.method.cells import Cell, CellStore, Cost
from benchmarks.method.data import load_data
from benchmarks.method.fingerprints import bare, code_digest
from benchmarks.method.keys import cell_key
from benchmarks.method.plan import BUDGETED, ROWS, Job, jobs
from benchmarks.method.recipe import EVERY_ROW, FULL, QUICK
from benchmarks.method.runner import Talk, chosen
from benchmarks.method.suite import suite_for
from benchmarks.method.workshop import Workshop
from examples.demo.cache import StepCache

CELL = Cell(
    row="uniform",
    task="sst2",
    kind="full",
    budget=0.02,
    suite="abc",
    outcomes={"advbench": "rc"},
    correct="10",
    margins={"advbench": [0.5, -1.0]},
    kl={"mean": 0.01},
    cost=Cost(3, 1.5, 7, 9),
    notes={"strength": 0.4},
)
IDS = {"advbench": ("x", "y"), "task": ("t", "u")}


def test_a_kept_cell_comes_back_with_its_ids(tmp_path):
    store = CellStore(tmp_path)
    store.put("k1", CELL, IDS)

    assert CellStore(tmp_path).get("k1") == CELL
    assert store.ids("abc") == IDS
    assert store.get("k2") is None
    assert (tmp_path / "sst2-full-uniform-0.02-k1.json").is_file()


def test_cells_of_the_repository_are_read_and_never_written(tmp_path):
    CellStore(tmp_path / "committed").put("k1", CELL, IDS)
    store = CellStore(tmp_path / "build", tmp_path / "committed")
    store.put("k2", replace(CELL, row="dare"), IDS)

    assert store.get("k1") == CELL
    assert len(list((tmp_path / "committed").glob("*-k?.json"))) == 1


def test_publishing_leaves_what_is_wanted_and_nothing_else(tmp_path):
    store = CellStore(tmp_path / "build", tmp_path / "committed")
    CellStore(tmp_path / "committed").put("old", replace(CELL, suite="gone"), IDS)
    store.put("k1", CELL, IDS)

    assert store.publish(["k1", "never-measured"], tmp_path / "committed") == 1
    assert {path.name for path in (tmp_path / "committed").iterdir()} == {
        "sst2-full-uniform-0.02-k1.json",
        "suite-abc.json",
    }


def test_a_cell_of_another_format_is_refused():
    value = json.loads(CELL.to_json()) | {"format": 2}

    with pytest.raises(ValueError, match="format 1, got 2"):
        Cell.from_json(json.dumps(value))


def test_ids_of_an_unknown_suite_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"suite-zzz\.json"):
        CellStore(tmp_path).ids("zzz")


def test_the_most_telling_cells_come_first():
    plan = jobs(FULL)
    names = [job.name for job in plan]

    assert names[:4] == [
        "ag_news-lora-target",
        "ag_news-lora-aligned",
        "ag_news-lora-ours-0.005",
        "ag_news-lora-uniform-0.005",
    ]
    first_of = {row: [job.row for job in plan].index(row) for row in ROWS}
    assert first_of["uniform"] < first_of["dare"] < first_of["degraded"]
    assert first_of["degraded"] < first_of["dpo"]
    assert len(set(plan)) == len(plan)


def test_frontiers_have_every_budget_and_others_the_main_one():
    plan = jobs(FULL)

    for row in BUDGETED:
        budgets = {job.budget for job in plan if job.row == row}
        several = row in {"ours", "uniform", "dare"}
        assert budgets == (set(FULL.budgets) if several else {FULL.main_budget})


def test_the_recipes_name_rows_that_there_are():
    assert set(EVERY_ROW) == set(ROWS)
    assert len(jobs(QUICK)) == 5
    with pytest.raises(ValueError, match="no row is called magic"):
        jobs(replace(QUICK, rows=("magic",)))
    with pytest.raises(ValueError, match="main budget"):
        replace(QUICK, budgets=(0.5,))


def test_a_rival_needs_ours_at_its_budget():
    assert Job("sst2", "full", "dare", 0.01).needs == Job("sst2", "full", "ours", 0.01)
    assert Job("sst2", "full", "ours", 0.01).needs is None


def test_jobs_are_chosen_by_name():
    assert {job.row for job in chosen(jobs(FULL), "lora-(dpo|retune)")} == {
        "dpo",
        "retune",
    }


@pytest.mark.parametrize(
    ("environment", "quick", "expected"),
    [
        ({}, False, "full"),
        ({"QUICK": "0"}, False, "full"),
        ({"QUICK": "1"}, False, "quick"),
        ({}, True, "quick"),
    ],
)
def test_the_quick_form_is_asked_for(environment, quick, expected):
    assert recipe_for(environment, quick=quick).name == expected


def test_options_are_read():
    options = parser().parse_args(["--only", "ours", "--until", "7.5", "--publish"])

    assert (options.only, options.until, options.publish) == ("ours", 7.5, True)


@pytest.fixture
def workshop(tmp_path):
    def make(**changes):
        recipe = tiny_recipe(**changes)
        data = load_data(write_data(tmp_path / "data"), recipe.tasks)
        steps = StepCache(tmp_path / "models")
        return Workshop(recipe, data, steps, tiny_base(), Talk([].append).progress)

    return make


def keys_of(workshop, rows, wanted=0.01):
    suite = suite_for(workshop.recipe, workshop.data, "ag_news", "lora")
    return {
        row: cell_key(Job("ag_news", "lora", row, 0.05), workshop, suite, wanted)
        for row in rows
    }


ALL = ("target", "aligned", "ours", "uniform", "retune")


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        pytest.param(
            {"task_rows": 9}, {"target", "ours", "uniform", "retune"}, id="task"
        ),
        pytest.param({"align_rows": {"coconot": 5}}, set(ALL), id="align"),
        pytest.param({"rank": 2}, {"ours", "uniform"}, id="rank"),
        pytest.param({"seed": 1}, {"ours"}, id="seed"),
        pytest.param({"granularity": "module"}, {"ours"}, id="granularity"),
    ],
)
def test_a_cell_is_made_anew_when_what_it_depends_on_changes(workshop, change, moved):
    before, after = keys_of(workshop(), ALL), keys_of(workshop(**change), ALL)

    assert {row for row in ALL if before[row] != after[row]} == moved
    assert not (workshop().cache.root).exists()


def test_a_rival_is_matched_anew_when_ours_moved_otherwise(workshop):
    first = keys_of(workshop(), ALL, wanted=0.01)
    second = keys_of(workshop(), ALL, wanted=0.02)

    assert {row for row in ALL if first[row] != second[row]} == {"uniform"}


def test_every_target_draws_prompts_of_its_own(workshop):
    shop = workshop()
    suites = [
        suite_for(shop.recipe, shop.data, "ag_news", kind) for kind in ("lora", "full")
    ]

    for name in ("advbench", "coconot", "xstest_safe", "dolly", "task"):
        assert not set(suites[0].ids[name]) & set(suites[1].ids[name])
    assert suites[0].key != suites[1].key
    assert all(re.fullmatch(r"[0-9a-f]{16}", key) for key in suites[0].ids["task"])


def test_sentences_do_not_count_as_code(tmp_path):
    file = tmp_path / "a.py"
    file.write_text('"""One."""\n\n\ndef f():\n    """Two."""\n    return 1  # why\n')
    first = code_digest(file)
    file.write_text("def f():\n\n    return 1\n")
    second = code_digest(file)
    file.write_text("def f():\n    return 2\n")

    assert first == second
    assert code_digest(tmp_path) != first
    assert bare('def f():\n    """Only this."""\n') == "def f():\n    pass"


def test_progress_is_told_now_and_then():
    said = []
    talk = Talk(said.append)
    for done in range(5):
        talk.progress("step", done, 5)

    assert len(said) == 1
    assert "step 0/5" in said[0]


def test_side_rows_are_measured_on_the_side_targets_alone():
    plan = jobs(FULL)
    targets = {row: {(j.task, j.kind) for j in plan if j.row == row} for row in ROWS}

    assert targets["ours"] == targets["safemerge"] == set(FULL.targets)
    assert targets["retune"] == targets["ours_adam"] == set(FULL.side_targets)
    assert {task for task, _ in FULL.side_targets} == {"ag_news"}
