"""`make bench-method`: the method at full strength, measured against every rival.

A model is aligned and weakened, one vector is extracted, and targets of several tasks,
by LoRA and by full fine-tuning, are repaired in every way; docs/benchmarks/method.md
explains it. Cells are kept: a run that was stopped goes on where it ended.
QUICK=1 is one task in five rows.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Benchmark
from benchmarks.method.cells import COMMITTED, PAGES, PLACE
from benchmarks.method.plan import jobs
from benchmarks.method.recipe import FULL, QUICK, Recipe

if TYPE_CHECKING:
    from benchmarks.method.runner import Runner


def recipe_for(environment: Mapping[str, str], *, quick: bool) -> Recipe:
    """The quick recipe if asked for by option or by `QUICK=1`."""
    return QUICK if quick or environment.get("QUICK") not in {None, "", "0"} else FULL


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="benchmarks.method", description=__doc__)
    found.add_argument("--quick", action="store_true", help="one task in five rows")
    found.add_argument(
        "--only", metavar="REGEX", help="cells whose name it is found in"
    )
    found.add_argument("--until", type=float, metavar="MINUTES", help="begin no more")
    found.add_argument("--list", action="store_true", help="cells and whether measured")
    found.add_argument("--tell", action="store_true", help="measure nothing, only tell")
    found.add_argument(
        "--memory-ratio",
        action="store_true",
        help="measure the peak memory beside inference and no cell",
    )
    found.add_argument(
        "--publish", action="store_true", help=f"copy the cells to {COMMITTED.name}/"
    )
    for hidden in ("--memory", "--model", "--vector"):
        found.add_argument(hidden, help=argparse.SUPPRESS)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing and tell what came out."""
    options = parser().parse_args(arguments)
    recipe = recipe_for(os.environ, quick=options.quick)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if options.memory:
        from benchmarks.method.memory import run_part

        run_part(options.memory, recipe, Path(options.model), Path(options.vector))
        return
    run(recipe, options)


def run(recipe: Recipe, options: argparse.Namespace) -> None:
    """All of it, but the parts that run in processes of their own."""
    from benchmarks.method.runner import Talk, open_runner

    carry_out(open_runner(recipe, Talk()), options, PLACE, PAGES)


def carry_out(
    runner: "Runner", options: argparse.Namespace, place: Path, pages: Path
) -> None:
    """Do what the options ask for and tell what came out.

    Args:
        runner: knows the recipe, and where cells are kept.
        options: of the command line.
        place: for the memory ratio, the tables and the plots; `method.json` goes
            beside it.
        pages: what is published there is read, and written with `--publish`.
    """
    from benchmarks.method import memory
    from benchmarks.method.runner import chosen, found_cells
    from benchmarks.method.telling import finish

    workshop, talk = runner.workshop, runner.talk
    plan = jobs(workshop.recipe)
    every = [job for job in plan if job.row != "dpo" or find_spec("trl")]
    if len(every) < len(plan):
        talk.tell("the DPO row is left out: it needs pip install -e '.[torch,bench]'")
    wanted = chosen(every, options.only)
    if options.list:
        for job in wanted:
            print("measured" if runner.cell(job) else "missing ", job.name)
        return
    with_memory = options.memory_ratio
    if not options.tell and not options.memory_ratio:
        minutes = float("inf") if options.until is None else options.until
        missing = runner.run(wanted, minutes=minutes)
        with_memory = not missing and options.only is None
    if with_memory:
        quick = ("--quick",) if workshop.recipe is QUICK else ()
        memory.measure_once(
            workshop,
            place,
            pages,
            measure=lambda made: memory.measured_ratio(made, *quick),
        )
    if options.publish:
        keys = [key for job in every if (key := runner.key(job)) is not None]
        count = runner.store.publish(keys, pages / COMMITTED.name)
        memory.publish_ratio(workshop, place, pages)
        talk.tell(f"{count} cells are in {pages / COMMITTED.name}")
    benchmark = Benchmark(
        "method", "Does the vector repair better and cheaper than its rivals?", {}
    )
    ratio = memory.kept_ratio(workshop, place, pages)
    if ratio is not None:
        benchmark.ratios["peak_memory_vs_inference"] = ratio
    finish(benchmark, runner, found_cells(runner, every), place)


if __name__ == "__main__":
    main()
