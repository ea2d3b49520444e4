"""Whose fault it is when a directory cannot be written, and what to do about it."""

import errno
import os

import pytest

from safegene.errors import LocalStorageError, UsageError
from safegene.files import fresh_directory, require_writable


def failing(directory, error):
    """What people are told when the block of a fresh directory runs into an error."""
    with pytest.raises(LocalStorageError) as caught, fresh_directory(directory):
        raise error
    return caught.value.detail


def test_the_directory_appears_when_the_block_succeeds(tmp_path):
    with fresh_directory(tmp_path / "made" / "out") as work:
        (work / "file").write_text("x")
        assert not (tmp_path / "made" / "out").exists()

    assert (tmp_path / "made" / "out" / "file").read_text() == "x"


def test_a_file_of_the_source_is_blamed_for_itself(tmp_path):
    source = tmp_path / "source" / "tokenizer.json"

    told = failing(
        tmp_path / "out", PermissionError(errno.EACCES, "Permission denied", source)
    )

    assert told.startswith(f"{source}: Permission denied; {tmp_path / 'out'} was not")
    assert "free some space" not in told
    assert "see to that file" in told
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_that_the_block_really_opens_is_named(tmp_path):
    with (
        pytest.raises(LocalStorageError) as caught,
        fresh_directory(tmp_path / "out"),
    ):
        (tmp_path / "gone.json").read_bytes()

    assert caught.value.detail.startswith(f"{tmp_path / 'gone.json'}: No such file")


def test_a_file_in_the_working_directory_is_the_outputs_fault(tmp_path):
    out = tmp_path / "out"

    with pytest.raises(LocalStorageError) as caught, fresh_directory(out) as work:
        raise PermissionError(errno.EACCES, "Permission denied", str(work / "x"))

    assert caught.value.detail == (
        f"cannot write {out}: Permission denied; nothing was left behind, choose"
        " another place, or one that you can write to"
    )


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("name", [None, "source.safetensors"])
def test_a_full_disk_is_the_outputs_fault_whatever_file_is_named(tmp_path, code, name):
    # Copying names source and copy, the source first.
    told = failing(tmp_path / "out", OSError(code, os.strerror(code), name))

    assert told.startswith(f"cannot write {tmp_path / 'out'}: {os.strerror(code)}; ")
    assert "free some space" in told


def test_a_reader_that_goes_away_is_no_matter_of_files(tmp_path):
    with pytest.raises(BrokenPipeError), fresh_directory(tmp_path / "out"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    assert list(tmp_path.iterdir()) == []


def test_a_place_below_a_file_is_refused_with_the_place(tmp_path):
    (tmp_path / "file").write_text("x")

    told = r"cannot write .*/file/out: .*; nothing was left behind, choose another"
    with (
        pytest.raises(LocalStorageError, match=told),
        fresh_directory(tmp_path / "file" / "out"),
    ):
        pass


def test_a_place_that_is_taken_is_refused_and_kept(tmp_path):
    (tmp_path / "mine").write_text("x")

    with pytest.raises(UsageError, match="exists already"), fresh_directory(tmp_path):
        pass

    assert (tmp_path / "mine").read_text() == "x"


def test_writable_places_pass_and_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    for place in (tmp_path / "a" / "b" / "c.json", tmp_path / "c.json"):
        require_writable(place)
        require_writable(place.relative_to(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_a_place_below_a_file_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("x")

    with pytest.raises(LocalStorageError) as caught:
        require_writable(tmp_path / "file" / "more" / "c.json")

    assert caught.value.detail == (
        f"cannot write {tmp_path / 'file' / 'more' / 'c.json'}: Not a directory; choose"
        f" another place, or make {tmp_path / 'file'} a directory that you can write to"
    )
