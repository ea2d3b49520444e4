"""`safegene extract` with `--method distill` and `--project`."""

import json

import pytest
from safegene_client.cli import main
from support.distillation import distill_data, distill_pair
from support.safegene_command import rows_text

EXTRACT = (
    *("extract", "--aligned", "aligned", "--degraded", "degraded"),
    *("--name", "acme/guard", "--version", "1.0.0", "--out", "vector", "--json"),
)
HARMFUL = ("--harmful", "harmful.jsonl")
DISTILL = ("--method", "distill")
BENIGN = ("--benign", "benign.jsonl")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A pair and prompts, in the current directory."""
    distill_pair(tmp_path)
    for name, rows in vars(distill_data()).items():
        text = rows_text([{"prompt": row.prompt} for row in rows])
        (tmp_path / f"{name}.jsonl").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ended(capsys, *arguments):
    code = main([*EXTRACT, *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_distilled_and_projected_in_one_command(capsys, place):
    code, document = ended(
        capsys,
        *(*DISTILL, *HARMFUL, *BENIGN, "--rank", "4", "--learning-rate", "0.005"),
        *("--epochs", "2", "--project", "benign.jsonl", "--project-energy", "0.8"),
    )

    assert code == 0, document
    recipe = document["recipe"]
    assert recipe["method"] == "distill"
    assert recipe["parameters"]["learning_rate"] == "0.005"
    assert recipe["parameters"]["projection_energy"] == "0.8"
    names = [entry["name"] for entry in recipe["data"]]
    assert names == ["harmful.jsonl", "benign.jsonl", "benign.jsonl"]


def test_a_difference_of_weights_can_be_projected(capsys, place):
    code, document = ended(
        capsys, *HARMFUL, "--project", "benign.jsonl", "--project-energy", "0.8"
    )

    assert code == 0, document
    assert document["recipe"]["method"] == "delta"
    assert 0 < float(document["recipe"]["parameters"]["surviving_signal"]) < 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param((*DISTILL, *HARMFUL), "--harmful and --benign", id="no-benign"),
        pytest.param((*DISTILL, *BENIGN), "--harmful and --benign", id="no-harmful"),
        pytest.param((*HARMFUL, *BENIGN), "--benign is for", id="benign-of-delta"),
        pytest.param(("--epochs", "2"), "--epochs is for", id="epochs-of-delta"),
        pytest.param(
            (*DISTILL, *HARMFUL, *BENIGN, "--energy", "0.9"),
            "--energy is for --method delta",
            id="energy-of-distill",
        ),
        pytest.param(
            (*DISTILL, *HARMFUL, *BENIGN, "--from", "v", "--layers", "1"),
            "--from keeps",
            id="from",
        ),
        pytest.param(("--project", "x.jsonl"), "--project needs", id="project-alone"),
        pytest.param(
            ("--project-energy", "0.9"), "--project-energy needs", id="energy-alone"
        ),
        pytest.param(HARMFUL, "give both or none", id="harmful-alone"),
    ],
)
def test_options_that_do_not_go_together_are_refused(capsys, place, arguments, told):
    code, document = ended(capsys, *arguments)

    assert (code, document["error"]["code"]) == (2, "usage")
    assert told in document["error"]["detail"]
    assert not (place / "vector").exists()
