"""`make bench-NAME` runs the benchmark of that name."""

import subprocess

import pytest
from support.sources import ROOT


def commands(name):
    """What make would do; nothing is run."""
    ended = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", f"bench-{name}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout.splitlines()


@pytest.mark.parametrize(
    ("name", "module"), [("merge", "merge"), ("two-words", "two_words")]
)
def test_the_target_runs_the_module_of_its_name(name, module):
    assert commands(name)[-1] == f".venv/bin/python -m benchmarks.{module}"
