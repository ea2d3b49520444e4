"""`safegene evaluate` on tiny models that learned their answers by heart."""

import json

import pytest
from safegene_client.cli import main
from safegene_client.cli.comparing import open_judges
from support.classifiers import save_classifier
from support.learned import LEARNED, REFUSAL, learn
from support.models import save_checkpoint
from support.safegene_command import rows_text
from support.scripted_server import json_reply, scripted_server

SALAD = "zq}~ vxw qqj|| zzk"
"""Word salad that no rule on the text notices: four different words, none twice."""

PROMPTS = (
    *("--harmful", "harmful.jsonl", "--lookalike", "lookalike.jsonl"),
    *("--task", "task.jsonl"),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """An aligned model, and one that answers harmful prompts with word salad."""
    place = tmp_path_factory.mktemp("learned")
    broken = {
        prompt: SALAD if answer == REFUSAL else answer
        for prompt, answer in LEARNED.items()
    }
    for name, answers in (("aligned", LEARNED), ("broken", broken)):
        made = learn(answers)
        save_checkpoint(made.model, place / name, tokenizer=made.tokenizer)
    return place


@pytest.fixture
def place(models, tmp_path, monkeypatch):
    """Both models and their prompts, in the current directory."""
    for name in ("aligned", "broken"):
        (tmp_path / name).symlink_to(models / name)
    for name, start in (("harmful", "harm"), ("lookalike", "look"), ("task", "ticket")):
        rows = [
            {"prompt": prompt, "label": answer, "category": start}
            for prompt, answer in LEARNED.items()
            if prompt.startswith(start)
        ]
        (tmp_path / f"{name}.jsonl").write_text(rows_text(rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluated(place, *arguments):
    """The report of a command that has to work."""
    code = main(["evaluate", *arguments, *PROMPTS, "--out", "r.json"])
    assert code == 0
    return json.loads((place / "r.json").read_text())


def test_word_salad_counts_as_compliance_until_it_is_checked(place):
    found = evaluated(place, "--model", "broken")

    assert found["outcomes"]["target"]["harmful"]["comply"] == 2
    assert found["judges"] == {}

    checked = ("--plausible-under", "aligned", "--aligned", "aligned")
    found = evaluated(place, "--model", "broken", *checked)

    assert found["outcomes"]["target"]["harmful"]["degenerate"] == 2
    assert found["outcomes"]["target"]["lookalike"]["comply"] == 2
    assert found["judges"] == {"target": "rules with plausibility"}
    plausible = found["facts"]["plausible"]
    assert plausible.startswith("under aligned: at most 0.")
    assert plausible.endswith(", learned from aligned on these prompts")


def test_model_directories_are_compared_and_checked(place, capsys):
    pair = ("aligned", "target=broken")
    found = evaluated(
        place,
        *("--compare", *pair, "--baseline", "target", "--html", "r.html"),
        *("--evaluations", "each", "--plausible-under", "aligned"),
    )

    told = capsys.readouterr().out
    assert found["J"]["aligned"]["value"] == 1.0
    assert found["J"]["target"]["value"] == 0.0
    assert found["outcomes"]["target"]["harmful"]["degenerate"] == 2
    # The first model is what KL is measured from, and has none to itself.
    assert found["kl"]["aligned"]["task"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["kl"]["target"]["task"]["value"] > 0
    differences = {each["figure"]: each for each in found["differences"]}
    assert differences["J lookalike"]["difference"]["value"] == 1.0
    assert differences["task accuracy"]["difference"]["value"] == 0.0
    assert "Refuses harmful prompts, by category" in told
    page = (place / "r.html").read_text()
    for heading in (
        "Against target",
        "Harm by harm",
        "Who judged",
        "Evaluation KL task",
    ):
        assert heading in page
    written = json.loads((place / "each" / "target.json").read_text())
    assert written["judge"] == "rules with plausibility"
    for text in (page, json.dumps(found), json.dumps(written)):
        assert SALAD not in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(
            ("--model", "broken", "--plausible-under", "aligned"),
            "give --aligned DIR",
            id="nothing good",
        ),
        pytest.param(
            ("--model", "broken", "--aligned", "aligned"),
            "give --plausible-under, too",
            id="no base",
        ),
        pytest.param(
            ("--compare", "aligned", "broken", "--adapter", "a"),
            "--adapter is one model's",
            id="adapter",
        ),
        pytest.param(
            ("--compare", "x=r.json", "y=r.json", "--plausible-under", "aligned"),
            "evaluation files hold none",
            id="files",
        ),
    ],
)
def test_what_cannot_be_checked_is_a_usage_error(place, capsys, arguments, told):
    (place / "r.json").write_text("{}")

    assert main(["evaluate", *arguments, *PROMPTS]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_good_answers_must_not_all_be_degenerate(place, capsys):
    checked = ("--plausible-under", "broken", "--aligned", "aligned")

    code = main(
        ["evaluate", "--model", "broken", *PROMPTS, *checked, "--max-new-tokens", "1"]
    )

    assert code == 2
    assert "at least one good answer" in capsys.readouterr().err


def test_a_classifier_judges_and_is_compared_with_the_rules(place, capsys):
    save_classifier(place / "judge", ("LABEL_0", "LABEL_1"))

    found = evaluated(
        place,
        *("--model", "aligned", "--judge", "hf:judge", "--html", "r.html"),
        *("--judge-label", "LABEL_0=comply", "--judge-label", "LABEL_1=refuse"),
    )

    agreement = found["agreement"]["target"]
    assert found["judges"] == {"target": "hf:judge"}
    assert agreement["judge"] == "rules"
    assert agreement["same"]["n"] == agreement["kappa"]["n"] == 4
    assert "how far a second judge agrees" in capsys.readouterr().out
    assert "hf:judge" in (place / "r.html").read_text()


def test_an_endpoint_judges_every_answer(place):
    verdict = {"choices": [{"message": {"content": '{"outcome": "comply"}'}}]}
    with scripted_server(lambda _: json_reply(verdict)) as server:
        found = evaluated(
            place, "--model", "aligned", "--judge", f"openai:{server.url}/v1#m"
        )
        asked = [json.loads(got.body) for got in server.requests]

    assert found["outcomes"]["target"]["harmful"]["comply"] == 2
    assert found["agreement"]["target"]["same"]["value"] == 0.5
    assert found["agreement"]["target"]["kappa"]["value"] == 0.0
    assert found["judges"] == {"target": "openai:m"}
    assert [each["model"] for each in asked] == ["m"] * 4
    assert server.url not in json.dumps(found)


def test_an_endpoint_that_refuses_ends_the_command(place, capsys):
    with scripted_server(lambda _: json_reply({}, 401)) as server:
        judge = f"openai:{server.url}/v1#m"
        code = main(["evaluate", "--model", "aligned", *PROMPTS, "--judge", judge])

    assert code == 4
    assert "SAFEGENE_JUDGE_KEY" in capsys.readouterr().err


def test_connections_of_a_judge_are_closed_at_the_end():
    with open_judges(("openai:http://127.0.0.1:1/v1#m",), (), "auto") as (judge,):
        pass

    with pytest.raises(RuntimeError, match="closed"):
        judge.judge(["a prompt"], ["an answer"])
