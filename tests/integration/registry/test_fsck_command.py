"""`safegene-registry fsck` as an operator reads it."""

import json
import logging
import sys

import pytest
from safegene_registry.__main__ import main
from support.backends import environment_of
from support.planted_damage import flip, leave_a_row, leave_an_upload, patient_in


@pytest.fixture
def patient(tmp_path, parts):
    with patient_in(tmp_path, **parts) as patient:
        yield patient


@pytest.fixture
def fsck(monkeypatch, capsys, tmp_path, parts):
    """Runs the command in this process; its exit code and output."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for name, value in environment_of(parts).items():
        monkeypatch.setenv(name, value)

    def run(*options):
        data = str(tmp_path / "data")
        command = ["safegene-registry", "fsck", "--data", data, *options]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        root.handlers[:], root.level = handlers, level
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


def test_the_command_says_what_is_wrong_and_what_to_do(patient, tmp_path, fsck):
    healthy = fsck("--sample", "5")
    leave_a_row(patient, tmp_path)
    flip(patient, tmp_path)

    code, out, _ = fsck()
    again, told, _ = fsck("--json", "--repair")

    assert healthy[:2] == (0, "")
    assert "0 findings in 1 versions, 0 attestations and 4 blobs" in healthy[2]
    assert (code, again) == (4, 4)
    lines = sorted(out.splitlines())
    assert lines[0].startswith(f"flipped {patient.tensors} (acme/refusal@1.0.0): its ")
    assert lines[1].startswith("orphan-row sha256:")
    document = json.loads(told)
    assert document["counts"] == {"flipped": 1, "orphan-row": 1}
    assert {each["kind"]: each["is_mended"] for each in document["findings"]} == {
        "flipped": False,
        "orphan-row": True,
    }
    assert len(document["done"]) == 2


def test_leftovers_have_an_exit_code_of_their_own(patient, tmp_path, fsck):
    """The command has no other clock: the upload is made old."""
    leave_an_upload(patient, tmp_path)
    patient.run("UPDATE uploads SET expires_at = created_at")

    code, out, _ = fsck()

    assert code == 3
    assert out.startswith("stale-upload ")
