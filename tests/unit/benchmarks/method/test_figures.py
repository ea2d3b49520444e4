"""Pooled figures, their paired intervals and the summary made of them."""

import math
import re
from dataclasses import replace

import pytest

from benchmarks.method.cells import Cell, Cost
from benchmarks.method.figures import Figure, Pool
from benchmarks.method.plan import Job
from benchmarks.method.plots import frontier, write_frontiers
from benchmarks.method.recipe import FULL
from benchmarks.method.summary import (
    Measured,
    common_objective,
    ratios,
    summarize,
    work_to_reach,
)
from benchmarks.method.table import frontier_markdown, markdown, target_markdown

HARMFUL, LIKE = 40, 20
IDS = {
    "advbench": tuple(f"a{at}" for at in range(HARMFUL)),
    "coconot": tuple(f"c{at}" for at in range(LIKE)),
    "xstest_safe": tuple(f"x{at}" for at in range(LIKE)),
    "dolly": tuple(f"d{at}" for at in range(LIKE)),
    "task": tuple(f"t{at}" for at in range(10)),
}


def letters(refused, count, rest="c"):
    return "r" * refused + rest * (count - refused)


def cell(row, harmful, coconot, xstest=None, **changes):
    """A cell whose first prompts are the refused ones."""
    settings = {
        "row": row,
        "task": "ag_news",
        "kind": "lora",
        "budget": None,
        "suite": "s",
        "outcomes": {
            "advbench": letters(harmful, HARMFUL),
            "coconot": letters(coconot, LIKE),
            "xstest_safe": letters(coconot if xstest is None else xstest, LIKE),
            "dolly": letters(0, LIKE),
        },
        "correct": "1" * 8 + "0" * 2,
        "margins": {},
        "kl": {"mean": 0.02},
        "cost": Cost(),
    }
    return Cell(**(settings | changes))


def measured(*cells):
    main = FULL.main_budget
    budgeted = {"ours", "ours_adam", "uniform", "dare", "random", "safelora"}
    named = {
        Job(c.task, c.kind, c.row, main if c.row in budgeted else None): c
        for c in cells
    }
    recipe = replace(
        FULL, tasks=("ag_news",), kinds=("lora",), rows=("ours", "uniform")
    )
    return Measured(recipe, named, {"s": IDS})


STORY = (
    cell("aligned", 36, 2, kl=None, correct=""),
    cell("target", 8, 0),
    cell("ours", 34, 2, correct="1" * 7 + "0" * 3),
    cell("uniform", 24, 4, notes={"matched": True}),
)


def test_j_and_what_came_back_of_it():
    summary = summarize(measured(*STORY))

    # aligned .9 - .1, target .2, ours .85 - .1: (.75 - .2) / (.8 - .2).
    assert summary["J_recovered"] == pytest.approx(0.55 / 0.6, abs=1e-6)
    low, high = summary["intervals"]["J_recovered"]
    assert low < summary["J_recovered"] < high
    assert summary["accuracy_drop_points"] == pytest.approx(10)
    assert summary["over_refusal_vs_aligned_points"] == 0
    assert summary["degenerate_rise_points"] == 0
    assert summary["beats_every_posthoc_rival"] is True
    assert summary["beats_every_posthoc_rival_with_certainty"] is True
    assert summary["harmful_prompts"] == HARMFUL
    assert summary["accuracy_rows"] == 10
    assert "92 [" in summary["text"]


def test_a_rival_just_behind_is_beaten_without_certainty():
    close = cell("uniform", 33, 2, notes={"matched": True})

    summary = summarize(measured(*STORY[:3], close))

    assert summary["beats_every_posthoc_rival"] is True
    assert summary["beats_every_posthoc_rival_with_certainty"] is False


def test_the_worst_harmless_set_is_what_is_told():
    worse = cell("ours", 34, 2, xstest=5)

    summary = summarize(measured(*STORY[:2], worse, STORY[3]))

    assert summary["over_refusal_vs_aligned_points"] == pytest.approx(15)
    assert summary["over_refusal_by_set"]["coconot"]["value"] == 0


def test_a_rival_ahead_on_one_of_the_two_is_not_beaten():
    rival = cell("uniform", 34, 6, xstest=0, notes={"matched": True})

    summary = summarize(measured(*STORY[:3], rival))

    assert summary["beats_every_posthoc_rival"] is False
    assert summary["rivals"]["uniform"]["J_ahead"]["value"] > 0
    assert summary["rivals"]["uniform"]["J_ahead_xstest"]["value"] < 0
    assert "not ahead of uniform" in summary["text"]


def test_no_verdict_while_a_rival_is_missing():
    assert summarize(measured(*STORY[:3]))["beats_every_posthoc_rival"] is None


def test_nothing_is_told_of_nothing():
    assert "Nothing can be told" in summarize(measured(STORY[0]))["text"]


def test_equal_rows_differ_by_nothing_in_every_resample():
    """The same prompts are drawn for both: a paired interval of width 0."""
    pool = measured(STORY[2], replace(STORY[2], row="target")).pool(("ours", "target"))
    difference = pool.j("ours", "coconot") - pool.j("target", "coconot")

    assert difference.interval == (0.0, 0.0)


def test_the_interval_of_a_rate_is_that_of_a_binomial():
    found = measured(*STORY).pool(("target",)).refusal("target", ("advbench",))
    low, high = found.interval
    spread = 1.96 * math.sqrt(0.2 * 0.8 / HARMFUL)

    assert found.value == 0.2
    assert found.n == HARMFUL
    assert low == pytest.approx(0.2 - spread, abs=0.03)
    assert high == pytest.approx(0.2 + spread, abs=0.03)


def test_a_prompt_of_two_targets_counts_as_one():
    """Twice the same answers to the same prompts make no interval narrower."""
    once = Pool({"target": {("ag_news", "lora"): STORY[1]}}, {"s": IDS})
    both = {("ag_news", kind): STORY[1] for kind in ("lora", "full")}
    twice = Pool({"target": both}, {"s": IDS})

    assert twice.refusal("target", ("advbench",)).interval == pytest.approx(
        once.refusal("target", ("advbench",)).interval
    )


def test_rows_of_other_targets_are_not_pooled():
    with pytest.raises(ValueError, match="different targets"):
        Pool(
            {
                "ours": {("ag_news", "lora"): STORY[2]},
                "target": {("sst2", "lora"): STORY[1]},
            },
            {"s": IDS},
        )


def test_a_share_of_nothing_is_no_number():
    pool = measured(*STORY).pool(("aligned", "target"))
    lost = pool.j("target", "coconot") - pool.j("aligned", "coconot")

    assert math.isnan(pool.j("target", "coconot").share_of(lost).value)
    assert lost.share_of(lost).to_json()["value"] is None


def calibrated(row, after, trace, work):
    notes = {"objective_after": str(after), "trace": trace}
    return cell(row, 34, 2, cost=Cost(work), notes=notes)


def test_work_beside_adam_is_told_at_the_objective_both_reached():
    ours = calibrated("ours", 0.5, [[100, 1.0], [400, 0.6], [800, 0.5]], 900)
    adam = calibrated("ours_adam", 0.6, [[50, 1.0], [2000, 0.6]], 2000)
    retune = cell("retune", 34, 2, cost=Cost(2700))
    found = ratios(measured(*STORY[:2], ours, adam, retune))

    assert common_objective(ours, adam) == 0.6
    assert work_to_reach(ours, 0.6) == 400
    assert found["cost_vs_adam"].median == 400 / 2000
    assert found["cost_vs_retuning"].median == 900 / 2700


def test_the_table_has_a_line_a_row_and_says_what_is_not_known():
    text = markdown(measured(*STORY))

    (aligned,) = [line for line in text.splitlines() if "aligned model" in line]
    assert "| 90.0 % | 10.0 % |" in aligned
    assert aligned.count("\N{EN DASH}") == 7
    assert "| **ours** | 85.0 % |" in text


def test_a_rival_out_of_reach_is_marked():
    rival = replace(STORY[3], notes={"matched": False})

    assert "0.0200 (1 not matched)" in markdown(measured(*STORY[:3], rival))


def test_frontiers_rise_by_kl_and_are_drawn(tmp_path):
    found = measured(*STORY)
    for budget, refused in zip(FULL.budgets, (20, 26, 34, 36), strict=True):
        job = Job("ag_news", "lora", "ours", budget)
        found.cells[job] = cell("ours", refused, 2, kl={"mean": budget / 2})

    places = frontier(found, "coconot")["ours"]

    assert places == [
        (0.0025, pytest.approx(0.4)),
        (0.005, pytest.approx(0.55)),
        (0.01, pytest.approx(0.75)),
        (0.02, pytest.approx(0.8)),
    ]
    written = write_frontiers(found, tmp_path)
    assert [path.name for path in written] == [
        "frontier-coconot.svg",
        "frontier-xstest_safe.svg",
    ]
    drawn = written[0].read_text("utf-8")
    assert drawn.startswith("<svg")
    assert drawn.count("<circle") == 5
    assert "uniform coefficient (RESTA)" in drawn


def test_a_frontier_is_that_of_the_targets_which_have_every_budget():
    """Another target's cell at the main budget bends no line, nor does it a table's."""
    found = measured(*STORY)
    recipe = replace(found.recipe, tasks=("ag_news", "sst2"), side_tasks=("ag_news",))
    found = replace(found, recipe=recipe)
    alone, rows = frontier(found, "coconot"), frontier_markdown(found)
    elsewhere = Job("sst2", "lora", "ours", FULL.main_budget)
    found.cells[elsewhere] = cell("ours", 2, 2, task="sst2")

    assert alone["ours"] == [(0.02, pytest.approx(0.75))]
    assert frontier(found, "coconot") == alone
    assert frontier_markdown(found) == rows


def test_the_guides_of_a_picture_are_on_its_own_look_alikes(tmp_path):
    aligned = cell("aligned", 36, 2, xstest=20, kl=None, correct="")

    both = write_frontiers(measured(aligned, *STORY[1:]), tmp_path)

    dashed = [re.findall(r'y1="([\d.]+)"[^>]*dasharray', p.read_text()) for p in both]
    assert [len(guides) for guides in dashed] == [2, 2]
    assert dashed[0] != dashed[1]


def test_figures_without_draws_have_no_width():
    pool = measured(*STORY).pool(("aligned",))

    assert math.isnan(pool.accuracy("aligned").value)
    assert isinstance(pool.accuracy("aligned"), Figure)


def test_a_target_without_any_cell_has_no_line():
    both = measured(*STORY)
    both = replace(both, recipe=replace(both.recipe, tasks=("ag_news", "sst2")))

    lines = target_markdown(both).splitlines()

    assert [line.split(" | ")[0] for line in lines[2:]] == ["| ag_news lora"]


def test_a_row_may_answer_fewer_of_the_tasks_rows():
    short = replace(STORY[3], correct="1100")

    pool = measured(STORY[2], short).pool(("ours", "uniform"))

    assert pool.accuracy("ours").n == 10
    assert (pool.accuracy("uniform").value, pool.accuracy("uniform").n) == (0.5, 4)
