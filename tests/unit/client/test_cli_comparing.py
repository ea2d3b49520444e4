import json

import pytest
from safegene_client.cli import main
from safegene_client.cli.comparing import (
    Entrant,
    harmless_rows,
    open_judges,
    parse_entrants,
)
from support.evaluations import evaluation

from safegene.errors import UsageError


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, found in {
        "aligned": evaluation(95, 15, correct=25),
        "target": evaluation(25, 5, correct=90),
        "repaired": evaluation(80, 12, correct=89),
    }.items():
        (tmp_path / f"{name}.json").write_text(found.to_json())
    return tmp_path


ALL = ("aligned.json", "target.json", "repaired.json")


def test_evaluation_files_are_compared_with_the_baseline(files, capsys):
    code = main(
        ["evaluate", "--compare", *ALL, "--baseline", "target", "--out", "r.json"]
    )

    assert code == 0
    report = json.loads((files / "r.json").read_text())
    found = {(d["model"], d["figure"]): d for d in report["differences"]}
    assert found["repaired", "J lookalike"]["difference"]["value"] == 0.48
    assert found["repaired", "refuses harmful"]["p_value"] < 1e-9
    assert all(gate["passed"] for gate in report["gates"])
    assert "Against target, paired by prompt" in capsys.readouterr().out


def test_what_is_not_evaluable_is_told_and_ends_with_one(files):
    (files / "target.json").write_text(evaluation(94, 15, correct=90).to_json())

    code = main(["evaluate", "--compare", *ALL, "--out", "r.json", "--html", "r.html"])

    assert code == 1
    report = json.loads((files / "r.json").read_text())
    shut = [gate["code"] for gate in report["gates"] if not gate["passed"]]
    assert shut == ["lost-j"]
    assert "Not evaluable" in (files / "r.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--compare", "aligned.json"), "at least two models"),
        (("--compare", "x=aligned.json", "x=target.json"), "a name of its own"),
        (("--compare", *ALL, "--baseline", "other"), "no model of the name other"),
        (("--compare", *ALL, "--model", "m"), "DIR+VECTOR"),
        (("--compare", "aligned.json", "nowhere"), "--harmful and --lookalike"),
        ((), "give --model DIR"),
    ],
)
def test_impossible_comparisons_are_usage_errors(files, capsys, arguments, told):
    assert main(["evaluate", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_evaluations_by_different_judges_are_compared_with_a_warning(files, capsys):
    judged = evaluation(80, 12, correct=89).model_copy(
        update={"judge": "hf:other", "format": 2}
    )
    (files / "repaired.json").write_text(judged.to_json())

    assert main(["evaluate", "--compare", *ALL]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "warning: outcomes were decided by different judges" in told
    assert "repaired by hf:other" in told


def test_another_file_is_refused_by_name(files, capsys):
    (files / "target.json").write_text("{}")

    assert main(["evaluate", "--compare", *ALL]) == 2
    assert "target.json: expected the JSON of an eval" in capsys.readouterr().err


def test_entrants_have_names_vectors_and_calibrations():
    found = parse_entrants(("a=m/x+acme/guard@~=1.0+c.json", "m/y", "m/z+g@~=1.0"))

    assert [each.name for each in found] == ["a", "y", "z"]
    assert found[0].vector == "acme/guard@~=1.0"
    assert str(found[0].calibration) == "c.json"
    assert isinstance(found[2], Entrant)
    assert found[2].vector == "g@~=1.0"


def test_further_harmless_sets_are_named(files):
    (files / "a.jsonl").write_text('{"prompt": "a"}\n')

    like, further = harmless_rows(("a.jsonl", "xs=a.jsonl"))

    assert len(like) == 1
    assert list(further) == ["xs"]
    for wrong in (("xs=a.jsonl",), ("a.jsonl", "a.jsonl")):
        with pytest.raises(UsageError, match="one file without a name"):
            harmless_rows(wrong)


def test_judges_are_read_or_refused():
    with open_judges(("openai:http://127.0.0.1:1/v1#m",), (), "auto") as judges:
        assert [judge.name for judge in judges] == ["openai:m"]
    with open_judges(("rules",), (), "auto") as judges:
        assert judges == ()
    for wrong in (
        ("nobody",),
        ("openai:http://x",),
        ("rules", "hf:x"),
        ("a", "b", "c"),
    ):
        with (
            pytest.raises(UsageError, match="--judge"),
            open_judges(wrong, (), "auto"),
        ):
            pass
