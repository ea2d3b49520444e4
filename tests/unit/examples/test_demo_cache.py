"""Steps of the demo are kept by content and appear only when they are whole."""

import pytest

from examples.demo.cache import StepCache, source_digest


def write(text):
    return lambda out: (out / "made.txt").write_text(text)


def test_same_inputs_are_made_once(tmp_path):
    cache = StepCache(tmp_path)
    first = cache.run("step", {"a": 1}, write("first"))

    second = cache.run("step", {"a": 1}, write("second"))

    assert (first.reused, second.reused) == (False, True)
    assert second.directory == first.directory
    assert (second.directory / "made.txt").read_text() == "first"
    assert second.seconds == first.seconds


def test_other_inputs_are_made_anew(tmp_path):
    cache = StepCache(tmp_path)
    first = cache.run("step", {"a": 1}, write("first"))

    second = cache.run("step", {"a": 2}, write("second"))

    assert second.key != first.key
    assert (second.directory / "made.txt").read_text() == "second"


def test_a_step_that_fails_leaves_no_result(tmp_path):
    def fail(out):
        (out / "made.txt").write_text("half")
        message = "interrupted"
        raise RuntimeError(message)

    cache = StepCache(tmp_path)
    with pytest.raises(RuntimeError, match="interrupted"):
        cache.run("step", {}, fail)

    again = cache.run("step", {}, write("whole"))

    assert not again.reused
    assert (again.directory / "made.txt").read_text() == "whole"


def test_changed_source_changes_the_digest(tmp_path):
    file = tmp_path / "code.py"
    file.write_text("A = 1\n")
    before = source_digest(tmp_path)

    file.write_text("A = 2\n")

    assert source_digest(tmp_path) != before


def test_a_file_that_moves_changes_the_digest(tmp_path):
    (tmp_path / "a.py").write_text("A = 1\n")
    before = source_digest(tmp_path)

    (tmp_path / "a.py").rename(tmp_path / "b.py")

    assert source_digest(tmp_path) != before


def test_of_two_processes_the_faster_ones_result_is_kept(tmp_path):
    cache = StepCache(tmp_path)

    def slower(place):
        made = tmp_path / f"step-{cache.key('step', {})}"
        made.mkdir()
        (made / "made").write_text("early")
        (place / "made").write_text("late")

    found = cache.run("step", {}, slower)

    assert (found.directory / "made").read_text() == "early"
    assert [path.name for path in tmp_path.iterdir()] == [found.directory.name]
