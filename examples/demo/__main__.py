"""Runs the demo: `python -m examples.demo`, or `make demo`."""

import argparse
import os
import sys
import warnings
from pathlib import Path

from benchmarks.harness import commit
from examples.demo.console import Console
from safegene.evaluation.report import Report

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "demo"


def main() -> int:
    """Tell the story and judge it; 0 when every claim holds, else 1."""
    parser = argparse.ArgumentParser(prog="examples.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="where results go")
    options = parser.parse_args()
    # Nothing is downloaded: the model comes in a package, the rest is made here.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    console = Console(steps=10)
    console.say("SafeGene demo: safety as a package, on SmolLM2-135M-Instruct")

    from examples.demo.base_model import DemoSetupError
    from examples.demo.run import run_demo

    try:
        report = run_demo(options.out, console, commit=commit())
    except DemoSetupError as error:
        console.say(f"error: {error}")
        return 2
    return conclude(report, console)


def conclude(report: Report, console: Console) -> int:
    """Say whether every claim holds; 0 if so, else 1."""
    if report.passed:
        console.say("\nEvery claim holds.")
        return 0
    console.say("\nThe demo failed:")
    for failure in report.failures:
        console.say(f"  {failure}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
