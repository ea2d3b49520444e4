"""The table of `safegene compatible`: what fits, how sure, gain and cost."""

from io import StringIO

from rich.console import Console
from safegene_client.answers import CompatibilityAnswer
from safegene_client.cli.compatible import compatibility_text

FAMILY = {
    "model_type": "llama",
    "layers": 2,
    "hidden_size": 32,
    "fingerprint": f"sha256:{'0' * 64}",
}
RANGE = {"value": 0.8, "low": 0.6912, "high": 0.871}
EVALUATION = {
    "against": "lookalike",
    "harmful_samples": 100,
    "harmless_samples": 120,
    "harm": {"value": 0.1, "low": 0.05, "high": 0.2},
    "j": RANGE,
    "over_refusal": {"value": 0.1, "low": 0.0552, "high": 0.1744},
    "version": "1.0.0",
    "digest": f"sha256:{'1' * 64}",
    "trusted": True,
}
CALIBRATION = {"gain": RANGE, "kl": 0.019, "digest": "d", "trusted": True}


def an_answer(**said):
    match = {
        "namespace": "acme",
        "name": "guard",
        "version": "1.0.0",
        "digest": f"sha256:{'2' * 64}",
        "base_model": {"id": "acme/base", "revision": "1"},
        "level": "structural",
        **said,
    }
    return CompatibilityAnswer.model_validate({"architecture": FAMILY, "fits": [match]})


def shown(**said):
    console = Console(file=StringIO(), width=200)
    for part in compatibility_text(an_answer(**said), "model", explain=False):
        console.print(part)
    return console.file.getvalue()


def test_gain_and_cost_are_shown_with_their_intervals():
    text = shown(size_bytes=1_234_567, evaluation=EVALUATION, calibration=CALIBRATION)

    assert "J 0.80 [0.69, 0.87] of 100" in text
    assert "0.10 [0.06, 0.17]" in text
    assert "1.2 MB, KL 0.019" in text
    assert "claimed" not in text


def test_what_is_claimed_is_marked_figure_by_figure():
    claimed = {"trusted": False}
    evaluation = shown(size_bytes=10, evaluation={**EVALUATION, **claimed})
    calibration = shown(
        size_bytes=10, evaluation=EVALUATION, calibration={**CALIBRATION, **claimed}
    )

    assert "J 0.80 [0.69, 0.87] of 100 (claimed)" in evaluation
    assert evaluation.count("claimed") == 1
    assert "10 B, KL 0.019 (claimed)" in calibration
    assert calibration.count("claimed") == 1


def test_columns_that_say_nothing_are_left_out():
    text = shown(size_bytes=10)

    assert [word in text for word in ("GAIN", "OVER-REFUSAL", "LINEAGE", "COST")] == [
        *(False, False, False, True)
    ]


def test_an_older_registry_says_nothing_of_cost():
    assert "COST" not in shown()
