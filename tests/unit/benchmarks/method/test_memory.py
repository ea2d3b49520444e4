"""Peak memory beside inference: measured once, kept, published and told."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
from support.method_bench import make_runner, tiny_recipe

from benchmarks.harness import ROOT, Spread
from benchmarks.method.__main__ import carry_out, parser
from benchmarks.method.memory import (
    PARTS,
    kept_ratio,
    measure_once,
    measured_ratio,
    publish_ratio,
)

FOUND = Spread.of([1.5, 2.0])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the models are made; the measurements of a test go elsewhere."""
    return tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="module")
def runner(place):
    return make_runner(place, tiny_recipe())


def never(workshop):
    message = "it was measured before"
    raise AssertionError(message)


def test_recalibration_is_compared_with_inference_round_by_round(runner):
    runs = []

    def peak(module, *arguments):
        runs.append((module, arguments))
        return {"recalibration": 300, "inference": 200}[arguments[1]]

    found = measured_ratio(runner.workshop, "--quick", peak=peak)

    assert found.values == (1.5, 1.5)
    model = runner.workshop.aligned.directory()
    vector = runner.workshop.vector("drift").directory() / "vector"
    assert (vector / "safegene.json").is_file()
    for number, (module, arguments) in enumerate(runs):
        assert module == "benchmarks.method"
        parser().parse_args(arguments)
        assert arguments == (
            *("--memory", PARTS[number % 2]),
            *("--model", str(model), "--vector", str(vector), "--quick"),
        )


@pytest.mark.parametrize("part", PARTS)
def test_each_part_does_its_work_and_prints_its_peak(part, place, runner):
    """In a process of its own: not every kernel takes an old peak back."""
    workshop = runner.workshop
    model = workshop.aligned.directory()
    vector = workshop.vector("drift").directory() / "vector"
    script = f"""
    from pathlib import Path

    from benchmarks.method.memory import run_part
    from support.method_bench import tiny_recipe

    run_part({part!r}, tiny_recipe(), Path({str(model)!r}), Path({str(vector)!r}))
    """

    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ
        | {
            "SAFEGENE_DATA": str(place / "data"),
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", *sys.path))),
        },
        check=True,
        capture_output=True,
        text=True,
    )

    assert ended.stdout.split()[-1].isdecimal()


def test_it_is_measured_once(runner, tmp_path):
    workshop = runner.workshop
    assert kept_ratio(workshop, tmp_path) is None

    assert measure_once(workshop, tmp_path, measure=lambda _: FOUND) == FOUND

    assert kept_ratio(workshop, tmp_path) == FOUND
    assert measure_once(workshop, tmp_path, measure=never) == FOUND
    assert measure_once(workshop, tmp_path / "new", tmp_path, measure=never) == FOUND


def test_another_vector_is_measured_anew(runner, tmp_path):
    measure_once(runner.workshop, tmp_path, measure=lambda _: FOUND)
    other = replace(runner.workshop, recipe=tiny_recipe(rank=2))

    assert kept_ratio(other, tmp_path) is None


def test_publishing_leaves_the_ratio_there_is_now(runner, tmp_path):
    written, pages = tmp_path / "written", tmp_path / "pages"
    measure_once(runner.workshop, written, measure=lambda _: FOUND)
    pages.mkdir()
    (pages / "memory-of-an-older-vector.json").write_text("[9]")

    publish_ratio(runner.workshop, written, pages)
    publish_ratio(runner.workshop, tmp_path / "nothing", pages)

    assert len([*pages.iterdir()]) == 1
    assert kept_ratio(runner.workshop, pages) == FOUND


@pytest.mark.parametrize("option", ["--tell", "--memory-ratio"])
def test_what_is_kept_is_told_whatever_cells_are_missing(option, place, tmp_path):
    said = []
    runner = make_runner(place, tiny_recipe(), said=said)
    pages, here = tmp_path / "pages", tmp_path / "bench" / "method"
    measure_once(runner.workshop, pages, measure=lambda _: FOUND)

    carry_out(runner, parser().parse_args([option]), here, pages)

    document = json.loads((tmp_path / "bench" / "method.json").read_text("utf-8"))
    assert document["ratios"]["peak_memory_vs_inference"]["median"] == 1.75
    assert document["cells"] == []
    assert not (place / "cells").exists()
    assert not any("cells are there" in line for line in said)


def test_nothing_is_told_of_what_was_never_measured(runner, tmp_path):
    carry_out(
        runner, parser().parse_args(["--tell"]), tmp_path / "bench" / "method", tmp_path
    )

    document = json.loads((tmp_path / "bench" / "method.json").read_text("utf-8"))
    assert document["ratios"] == {}
    assert (tmp_path / "bench" / "method" / "tables.md").read_text("utf-8") == ""
