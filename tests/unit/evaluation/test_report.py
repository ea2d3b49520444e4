import io
import json

import pytest
from support.evaluations import evaluation

from safegene.artifact.calibration import Calibration, Interval
from safegene.errors import InvalidDataError
from safegene.evaluation.evaluation import JudgeAgreement
from safegene.evaluation.metrics import Estimate
from safegene.evaluation.report import (
    Claim,
    CompatibilityRow,
    Recalibration,
    Report,
)
from safegene.evaluation.report_text import table_lines, write_table


@pytest.fixture(scope="module")
def measured():
    return {
        "aligned": evaluation(95, 15, correct=25),
        "degraded": evaluation(5, 1, correct=25),
        "target": evaluation(25, 5, off_task=30, correct=90),
        "repaired": evaluation(80, 12, degenerate=2, correct=89),
        "repaired_uniform": evaluation(70, 20, correct=88),
    }


@pytest.fixture
def evaluations(measured):
    return dict(measured)


@pytest.fixture(scope="module")
def report(measured):
    return Report.of(
        measured,
        commit="0123abcd",
        recalibration=Recalibration(
            seconds=12.5,
            forward_equivalents=4000,
            kl=0.018,
            budget=0.02,
            coefficients={0: 0.5, 1: 1.25},
            uniform_coefficient=0.75,
            warnings=("only 40 harmful samples",),
        ),
        compatibility=[
            CompatibilityRow(model="target", level="compatible", fits=True),
            CompatibilityRow(
                model="other", level="incompatible", fits=False, reasons=("12 layers",)
            ),
        ],
        seconds={"extract": 3.25, "recalibrate": 12.5},
        claims=[Claim(claim="J", target="0.5", measured="0.8", passed=True)],
    )


def test_json_has_the_promised_keys(report):
    found = json.loads(report.to_json())

    assert found["commit"] == "0123abcd"
    assert list(found["answers"]) == list(found["models"])
    assert found["answers"]["target"][0] == {
        "id": "harmful-0",
        "set": "harmful",
        "outcome": "refuse",
    }
    assert found["outcomes"]["target"]["harmful"] == {
        "refuse": 25,
        "comply": 45,
        "degenerate": 0,
        "off_task": 30,
    }
    assert found["J"]["aligned"].keys() == {"value", "low", "high", "n"}
    assert found["J"]["aligned"]["value"] == 0.8
    assert found["task_accuracy"]["repaired"]["value"] == 0.89
    assert found["recalibration"]["kl"] == 0.018
    assert found["recalibration"]["budget"] == 0.02
    assert found["recalibration"]["seconds"] == 12.5
    assert found["recalibration"]["forward_equivalents"] == 4000
    assert found["compatibility"][1]["reasons"] == ["12 layers"]
    assert found["seconds"] == {"extract": 3.25, "recalibrate": 12.5}
    assert found["claims"] == [
        {"claim": "J", "target": "0.5", "measured": "0.8", "passed": True}
    ]


def test_a_report_survives_its_json(report, tmp_path):
    report.write_json(tmp_path / "report.json")

    text = (tmp_path / "report.json").read_text("utf-8")

    assert Report.from_json(text) == report
    assert Report.from_json(text).to_json() == text


def test_repaired_models_get_their_share_of_what_was_lost(report):
    assert set(report.recovery) == {"repaired", "repaired_uniform"}
    assert report.recovery["repaired"].value == pytest.approx(0.48 / 0.6)


def test_models_that_do_not_tell_the_story_are_laid_side_by_side(evaluations):
    report = Report.of({"mine": evaluations["target"]}, commit="0.1.0")

    assert report.recovery == {}
    assert report.not_evaluable == ()
    assert report.passed


def test_a_failed_claim_fails_the_report(report):
    broken = Claim(claim="Task", target="2 points", measured="9 points", passed=False)
    failing = report.model_copy(update={"claims": (*report.claims, broken)})

    assert report.passed
    assert not failing.passed
    assert failing.failures == ("Task: 9 points, expected 2 points",)


def test_a_repair_of_nothing_is_not_evaluable(evaluations):
    evaluations["target"] = evaluation(94, 15)

    report = Report.of(evaluations, commit="0123abcd")

    assert not report.passed
    assert report.failures[0].startswith("not evaluable: fine-tuning cost")


def test_a_report_needs_a_model():
    with pytest.raises(InvalidDataError, match="at least one evaluated model"):
        Report.of({}, commit="0123abcd")


@pytest.mark.parametrize("text", ["", "{}", '{"commit": "x"}'])
def test_other_json_is_refused(text):
    with pytest.raises(InvalidDataError, match="expected the JSON of a report"):
        Report.from_json(text)


def test_figures_are_taken_from_a_calibration():
    interval = Interval(value="0.5", low="0.4", high="0.6")
    calibration = Calibration(
        vector="demo/v@1.0.0",
        digest="sha256:" + "0" * 64,
        target_fingerprint="sha256:" + "1" * 64,
        coefficients={"10": "0.25", "9": "1.5"},
        budget="0.02",
        predicted_kl="0.019",
        realised_kl="0.018",
        objective_before="1.3",
        objective_after="0.7",
        objective_uniform="0.8",
        uniform_coefficient="0.75",
        gain=interval,
        samples={"harmful": 100},
        data=(),
        solver="test",
        forward_equivalents=4000,
        warnings=("few samples",),
        tool="safegene 0.1.0",
    )

    found = Recalibration.of(calibration, seconds=9.5)

    assert list(found.coefficients.items()) == [(9, 1.5), (10, 0.25)]
    assert (found.kl, found.budget, found.seconds) == (0.018, 0.02, 9.5)
    assert found.warnings == ("few samples",)


def test_the_table_lines_up_and_tells_everything(report):
    stream = io.StringIO()

    write_table(report, stream)
    lines = stream.getvalue().splitlines()

    heading, aligned, repaired = lines[3], lines[4], lines[7]
    assert heading.index("J") == aligned.index("0.80") == repaired.index("0.68")
    for told in (
        "95 % [",
        "2 % / 0 %",
        "12.5 s, 4000 forward equivalents, calibration KL 0.0180 of 0.0200",
        "coefficients 0.50 to 1.25 on 2 layers",
        "warning: only 40 harmful samples",
        "12 layers",
        "holds  J",
        "n = 100 harmful and 100 look-alike",
    ):
        assert told in stream.getvalue()
    assert all(line == line.rstrip() for line in lines)


def test_the_table_says_what_fails(evaluations):
    evaluations["target"] = evaluation(94, 15)
    claim = Claim(claim="Loss", target="at least 0.3", measured="0.01", passed=False)

    lines = table_lines(Report.of(evaluations, commit="0", claims=[claim]))

    assert "Not evaluable" in lines
    assert "FAILS  Loss  0.01  (expected at least 0.3)" in lines


def test_the_table_says_who_judged_and_how_far_a_second_judge_agrees(measured):
    kappa, same = Estimate(0.5, 0.25, 0.75, 200), Estimate(0.8, 0.7, 0.9, 200)
    second = JudgeAgreement(judge="rules", kappa=kappa, same=same)
    judged = measured["target"].model_copy(
        update={"judge": "openai:m", "agreement": second}
    )

    report = Report.of({"a": measured["aligned"], "t": judged}, commit="0")

    lines = table_lines(report)
    at = lines.index("Who judged, and how far a second judge agrees")
    assert lines[at + 2].split() == ["a", "rules", "-", "-", "-"]
    found = " ".join(lines[at + 3].split())
    assert found == "t openai:m rules 0.50 [0.25, 0.75] 80 % [70, 90]"
    assert Report.from_json(report.to_json()) == report
    plain = table_lines(Report.of({"a": measured["aligned"]}, commit="0"))
    assert not [line for line in plain if line.startswith("Who judged")]
