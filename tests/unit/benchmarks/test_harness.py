"""What a benchmark writes down, and in which order it measures."""

import json
import re
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.harness import ROOT, Benchmark, Spread, commit
from safegene import __version__

MIB = 1 << 20


@pytest.fixture
def benchmark():
    """Measured by hand: three rounds of two cases."""
    benchmark = Benchmark("sort", "Is it fast?", {"rows": 3})
    benchmark.seconds = {
        "ours": Spread.of([3.0, 2.0, 8.0]),
        "theirs": Spread.of([1.0, 2.0, 2.0]),
    }
    benchmark.figures["ours: bytes"] = 12.0
    return benchmark


def test_a_ratio_is_told_by_median_and_quartiles_over_rounds(benchmark):
    found = benchmark.compare("ours / theirs", "ours", "theirs")

    assert found.values == (3.0, 1.0, 4.0)
    assert (found.low, found.median, found.high) == (2.0, 3.0, 3.5)
    assert str(found) == "3 [2, 3.5]"


def test_one_value_is_its_own_spread():
    assert Spread.of([2.5]) == Spread(2.5, 2.5, 2.5, (2.5,))
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_rounds_of_unequal_number_are_not_compared(benchmark):
    benchmark.seconds["theirs"] = Spread.of([1.0])

    with pytest.raises(ValueError, match="shorter"):
        benchmark.compare("ours / theirs", "ours", "theirs")


def test_the_written_document_says_what_was_measured_where(benchmark, tmp_path, capsys):
    benchmark.compare("ours / theirs", "ours", "theirs")

    path = benchmark.finish("Three times as long.", tmp_path / "new" / "bench")

    document = json.loads(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "new" / "bench" / "sort.json"
    assert document["benchmark"] == "sort"
    assert document["question"] == "Is it fast?"
    assert document["summary"] == "Three times as long."
    assert document["settings"] == {"rows": 3}
    assert document["figures"] == {"ours: bytes": 12.0}
    assert document["ratios"] == {
        "ours / theirs": {
            "median": 3.0,
            "low": 2.0,
            "high": 3.5,
            "values": [3.0, 1.0, 4.0],
        }
    }
    assert document["seconds"]["ours"]["values"] == [3.0, 2.0, 8.0]
    assert document["commit"] == commit()
    age = datetime.now(UTC) - datetime.fromisoformat(document["date"])
    assert timedelta(0) <= age < timedelta(minutes=5)
    assert set(document["machine"]) == {"system", "processor", "cores", "memory_bytes"}
    assert all(document["machine"].values())
    assert document["versions"]["safegene"] == __version__
    assert {"python", "torch", "transformers", "peft"} <= set(document["versions"])
    assert [p.name for p in path.parent.iterdir()] == ["sort.json"]
    printed = capsys.readouterr().out
    assert re.search(r"ours / theirs +3 \[2, 3.5\] x", printed)
    assert "Three times as long." in printed


def test_cases_run_interleaved_begun_at_another_place_every_round():
    ran = []
    benchmark = Benchmark("b", "?", {})

    benchmark.measure(
        {name: lambda name=name: ran.append(name) for name in "abc"},
        rounds=3,
        reset=lambda: ran.append("-"),
    )

    rounds = "".join(ran).replace("-", "")
    assert "".join(ran[::2]) == "-" * 12
    assert rounds == "cab" + "abc" + "bca" + "cab"
    assert [len(spread.values) for spread in benchmark.seconds.values()] == [3, 3, 3]


def test_the_warm_up_can_be_left_out():
    ran = []
    benchmark = Benchmark("b", "?", {})

    benchmark.measure({"a": lambda: ran.append("a")}, rounds=2, warm_up=False)

    assert ran == ["a", "a"]


def git(place, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    ended = subprocess.run(
        ["git", "-C", place, *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout.strip()


def test_the_commit_is_the_checkouts_tagged_or_changed_or_not(tmp_path):
    outside = commit(tmp_path)
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    git(tmp_path, "tag", "-a", "v1", "-m", "v1")
    clean = commit(tmp_path)
    (tmp_path / "file").write_text("two")

    head = git(tmp_path, "rev-parse", "HEAD")
    assert (outside, clean, commit(tmp_path)) == ("unknown", head, f"{head}-dirty")


def test_the_peak_is_that_of_the_block_alone():
    """In a process of its own: not every kernel takes an old peak back."""
    script = f"""
    from benchmarks.harness import print_own_peak

    before = b"x" * {64 * MIB}
    with print_own_peak():
        assert len(b"y" * {32 * MIB}) < len(before)
    """

    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )

    # The kernel counts resident pages by batches.
    assert 30 * MIB <= int(ended.stdout) < 64 * MIB
