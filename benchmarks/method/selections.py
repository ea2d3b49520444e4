"""What leaving layers out costs: `python -m benchmarks.method.selections`.

On the recipe's side targets the vector keeps half of its layers, the best by each
ranking and a random half, is recalibrated as ours is and measured on the same prompts.
A ranking is worth its name when its half does as well as all layers, or at least
better than the random one. What was measured is kept by content; a run that was stopped
goes on where it ended.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import OUT, Benchmark
from benchmarks.method.cells import Cell, Cost
from benchmarks.method.figures import Pool
from benchmarks.method.fingerprints import code_digest
from benchmarks.method.keys import MEASURING_CODE, RECALIBRATION_CODE
from benchmarks.method.plan import Job
from benchmarks.method.plausibility import Implausible, open_check, threshold_step
from benchmarks.method.recipe import FULL
from benchmarks.method.repairs import Bench, calibration_rows, held_out_rows
from benchmarks.method.runner import Runner, Talk, open_runner
from benchmarks.method.suite import HARMLESS, LOOKALIKE, XSTEST, outcomes_of, suite_for
from benchmarks.method.workshop import Step
from safegene.vectors.choices import Ranking
from safegene.vectors.recalibrate import recalibrate_coefficients
from safegene.vectors.select_latency import decode_slowdown
from safegene.vectors.selection import select_for_target

RANKINGS = (Ranking.SCORE, Ranking.CONTRAST, Ranking.RANDOM)
SHARE = 0.5
"""Of the layers that stay."""
CODE = (
    *MEASURING_CODE,
    *RECALIBRATION_CODE,
    "safegene/vectors/select.py",
    "safegene/vectors/select_score.py",
)
RESULT_NAME = "selection.json"
DIGITS = 5


@dataclass(frozen=True)
class Selected:
    """What came of one selection on one target."""

    ranking: str
    layers: list[int]
    objective: float
    held_out_kl: float
    forward_equivalents: int
    slowdown: float
    """Seconds a decoded token with these layers attached over without any."""
    outcomes: dict[str, str]
    """One letter a prompt, by set."""

    def cell(self, bench: Bench, suite: str) -> Cell:
        """As the cells of other rows are, to be paired with them by prompt."""
        return Cell(
            row=self.ranking,
            task=bench.task,
            kind=bench.kind,
            budget=bench.recipe.main_budget,
            suite=suite,
            outcomes=self.outcomes,
            correct="",
            margins={},
            kl={"mean": self.held_out_kl},
            cost=Cost(self.forward_equivalents),
        )


def measure(bench: Bench, ranking: Ranking) -> Selected:
    """One selection on one target; read if it was measured before."""

    def build(out: Path) -> None:
        found = asdict(_measure(bench, ranking, open_check(bench.workshop)))
        (out / RESULT_NAME).write_text(json.dumps(found) + "\n", encoding="utf-8")

    step = Step(bench.workshop.cache, "selection", _facts(bench, ranking), build)
    return Selected(**json.loads((step.directory() / RESULT_NAME).read_text("utf-8")))


def _measure(bench: Bench, ranking: Ranking, implausible: Implausible) -> Selected:
    held_out = bench.held_out  # before any repair: it remembers the target as it is
    recipe, target = bench.recipe, bench.target
    whole = bench.vector(recipe.published)
    vector = select_for_target(
        target.model,
        target.tokenizer,
        whole,
        by=ranking,
        data=bench.calibration_data,
        keep=max(1, round(SHARE * len(whole.layers))),
        seed=recipe.seed,
    ).vector
    calibration = recalibrate_coefficients(
        target.model,
        target.tokenizer,
        vector,
        bench.calibration_data,
        budget=recipe.main_budget,
        seed=recipe.seed,
        progress=bench.progress,
        granularity=recipe.granularity,
        objective=recipe.objective,
        effort=recipe.effort,
        search=recipe.search,
    )
    slowdown = decode_slowdown(target.model, whole, vector.layers)
    changed = vector.scaled(calibration.values)
    delta = {f"{path}.weight": part.delta() for path, part in changed.factors.items()}
    suite = suite_for(recipe, bench.data, bench.task, bench.kind)
    with target.changed(delta) as model:
        held_out_kl = held_out.kl(model)["mean"]
        outcomes = outcomes_of(
            model, target.tokenizer, suite, recipe.test, implausible=implausible
        )
    return Selected(
        ranking=str(ranking),
        layers=list(vector.layers),
        objective=float(calibration.objective_after),
        held_out_kl=round(held_out_kl, DIGITS),
        forward_equivalents=calibration.forward_equivalents,
        slowdown=round(slowdown, DIGITS),
        outcomes=outcomes,
    )


def _facts(bench: Bench, ranking: Ranking) -> dict[str, Any]:
    """Everything a selection depends on."""
    recipe, workshop = bench.recipe, bench.workshop
    return {
        "ranking": str(ranking),
        "share": SHARE,
        "target": workshop.target(bench.task, bench.kind).key,
        "vector": workshop.vector(recipe.published).key,
        "rows": repr(calibration_rows(recipe, bench.data, bench.task).sets()),
        "held_out": repr(held_out_rows(recipe, bench.data, bench.task)),
        "kl": asdict(recipe.kl),
        "suite": suite_for(recipe, bench.data, bench.task, bench.kind).key,
        "test": asdict(recipe.test),
        "plausibility": threshold_step(workshop).key,
        "budget": recipe.main_budget,
        "granularity": recipe.granularity,
        "objective": asdict(recipe.objective),
        "effort": asdict(recipe.effort),
        "search": asdict(recipe.search),
        "seed": recipe.seed,
        "code": code_digest(*CODE),
    }


Found = dict[str, list[tuple[Bench, Selected]]]
"""Selections by ranking, one for each target measured."""


def explore(runner: Runner) -> Iterator[Found]:
    """What was found so far, after every measurement."""
    workshop, talk = runner.workshop, runner.talk
    recipe = workshop.recipe
    found: Found = {}
    for task, kind in recipe.side_targets:
        bench = Bench(recipe, workshop.data, workshop, task, kind, talk.progress)
        for ranking in RANKINGS:
            selected = measure(bench, ranking)
            found.setdefault(selected.ranking, []).append((bench, selected))
            yield found


def compare(runner: Runner, out: Path) -> None:
    """Measure every selection, and tell.

    Args:
        runner: knows the recipe and the cells of ours.
        out: gets `selections.json`, anew after every measurement.
    """
    recipe = runner.workshop.recipe
    benchmark = Benchmark(
        "selections",
        "Do half of the layers do as well as all?",
        {"share": SHARE, **asdict(recipe)},
    )
    rows: dict[str, Any] = {}
    for found in explore(runner):
        rows = {name: _row(runner, of_name) for name, of_name in found.items()}
        benchmark.extra = {"selections": rows}
        benchmark.write(_told(rows), out)
    print(table(rows))
    benchmark.finish(_told(rows), out)


def _row(runner: Runner, measured: Sequence[tuple[Bench, Selected]]) -> dict[str, Any]:
    """The figures of one ranking, pooled over the targets on which ours is known."""
    cells, mine, ids = {}, {}, {}
    for bench, selected in measured:
        recipe, target = bench.recipe, (bench.task, bench.kind)
        suite = suite_for(recipe, bench.data, *target)
        ours = runner.cell(Job(*target, "ours", recipe.main_budget))
        ids[suite.key] = suite.ids
        if ours is not None:
            cells[target], mine[target] = selected.cell(bench, suite.key), ours
    return {
        "measured": [
            {"target": f"{bench.task}-{bench.kind}", **asdict(selected)}
            for bench, selected in measured
        ],
        "figures": _figures(Pool({"half": cells, "all": mine}, ids)) if cells else {},
    }


def _figures(pool: Pool) -> dict[str, Any]:
    figures = {
        "J": pool.j("half", LOOKALIKE),
        "J_behind": pool.j("all", LOOKALIKE) - pool.j("half", LOOKALIKE),
        "J_behind_xstest": pool.j("all", XSTEST) - pool.j("half", XSTEST),
        "refused_harmful": pool.refusal("half", pool.harmful),
    } | {f"refused_{name}": pool.refusal("half", (name,)) for name in HARMLESS}
    return {name: figure.to_json() for name, figure in figures.items()}


def table(rows: Mapping[str, Any]) -> str:
    """The lines for docs/benchmarks/method.md.

    Args:
        rows: by ranking, as `selections.json` has them.
    """
    head = (
        *("half of the layers by", "targets", "J", "J: behind all by"),
        *("J on XSTest: behind by", "objective", "decoding slower by"),
    )
    lines = [_line(head), "|" + "---|" * len(head)]
    for ranking, row in rows.items():
        measured, figures = row["measured"], row["figures"]
        lines.append(
            _line(
                (
                    ranking,
                    f"{len(measured)}",
                    *(
                        _text(figures[name]) if figures else ""
                        for name in ("J", "J_behind", "J_behind_xstest")
                    ),
                    ", ".join(f"{each['objective']:.3f}" for each in measured),
                    ", ".join(f"{each['slowdown']:.2f}" for each in measured),
                )
            )
        )
    return "\n".join(lines) + "\n"


def _text(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def _line(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"


def _told(rows: Mapping[str, Any]) -> str:
    told = [
        f"by {name} {_text(row['figures']['J_behind'])}"
        for name, row in rows.items()
        if row["figures"]
    ]
    return (
        "J that half of the layers stay behind all of them:"
        f" {', '.join(told) or 'ours was not measured'}."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the selections that are missing and tell what came out."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.method.selections", description=__doc__
    )
    parser.parse_args(arguments)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    compare(open_runner(FULL, Talk()), OUT)


if __name__ == "__main__":
    main()
