import json

import pytest
from safegene_client.cli import main
from safegene_client.pulled import PulledVector
from support.evaluations import evaluation

BUDGETS = {"small": ("0.01", "0.009", "0.2"), "large": ("0.04", "0.035", "0.5")}


@pytest.fixture
def place(vector_directory, calibration_for, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pulled = PulledVector.open(vector_directory)
    for name, (budget, kl, gain) in BUDGETS.items():
        found = calibration_for(
            pulled,
            budget=budget,
            realised_kl=kl,
            gain={"value": gain, "low": "0.1", "high": "0.9"},
        )
        (tmp_path / f"{name}.json").write_bytes(found.to_bytes())
    other = calibration_for(pulled, digest="sha256:" + "0" * 64)
    (tmp_path / "other.json").write_bytes(other.to_bytes())
    (tmp_path / "e.json").write_text(evaluation(80, 12).to_json())
    return tmp_path


def test_calibrations_stand_side_by_side_in_the_order_of_their_kl(place, capsys):
    code = main(
        ["frontier", "large.json+e.json", "tiny=small.json", "--html", "f.html"]
    )

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    page = (place / "f.html").read_text()
    assert code == 0
    assert [line[0] for line in lines] == ["calibration", "tiny", "large"]
    assert lines[1][1:4] == ["0.01", "0.009", "0.2"]
    assert lines[1][-1] == "-"
    assert "0.68" in lines[2]
    assert page.count("<circle") == 1 + 2
    assert "large: KL 0.0350, 0.68" in page
    assert "<script" not in page


def test_the_points_are_told_as_json(place, capsys):
    assert main(["frontier", "small.json", "large.json+e.json", "--json"]) == 0

    small, large = json.loads(capsys.readouterr().out)["points"]
    assert (small["kl"], small["gain"]["value"]) == (0.009, 0.2)
    assert "J" not in small
    assert large["J"]["value"] == 0.68
    assert large["J"]["n"] == 200


def test_a_page_without_evaluations_shows_the_objective_only(place):
    assert main(["frontier", "small.json", "large.json", "--html", "f.html"]) == 0

    page = (place / "f.html").read_text()
    assert "J against calibration KL" not in page
    assert "Fall of the objective against calibration KL" in page


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("small.json", "small.json"), "a name of its own"),
        (("small.json", "other.json"), "of another vector or model family"),
        (("small.json+small.json",), "small.json: expected the JSON of an eval"),
        (("nowhere.json",), "nowhere.json: cannot be read"),
    ],
)
def test_what_cannot_stand_side_by_side_is_refused(place, capsys, arguments, told):
    assert main(["frontier", *arguments]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
