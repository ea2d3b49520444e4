"""What a registry lists is proved; what `evaluate` writes can be attested as it is."""

import json

import pytest
from safegene_client.cli import main
from safegene_client.measured import read_measured
from safegene_registry.attestations.listing import entry
from safegene_registry.attestations.posting import numbers_of
from safegene_registry.models import Attestation
from safegene_registry.services import utc_now
from support.attestations import (
    an_evaluation,
    calibration_of,
    enveloped,
)
from support.evaluations import evaluation

from safegene.artifact.attestation.envelope import Envelope
from safegene.artifact.attestation.keys import PrivateKey
from safegene.artifact.attestation.predicates import CalibrationMade
from safegene.artifact.digest import digest_bytes
from safegene.errors import (
    AttestationError,
    DigestMismatchError,
    InvalidDataError,
)
from safegene.evaluation.report import Report

BASE = "/v1/vectors/acme/guard/versions/1.0.0/attestations"
KEY, OTHER = PrivateKey.generate(), PrivateKey.generate()


def listed(data):
    """What an honest registry says of an envelope."""
    envelope = Envelope.from_bytes(data)
    row = Attestation(
        digest=str(envelope.digest),
        kind=str(envelope.statement.kind),
        key_id=None if envelope.key_id is None else str(envelope.key_id),
        posted_at=utc_now(),
        **numbers_of(envelope.statement.said),
    )
    return entry(row, "lab", trusted=True).model_dump(mode="json")


def serving(static, data, **lies):
    """Have a registry list an envelope, with lies about it."""
    said = {**listed(data), **lies}
    static.replies[BASE] = {"items": [said], "next_cursor": None}
    static.replies[f"{BASE}/{said['digest']}"] = data


@pytest.mark.parametrize("key", [None, KEY], ids=["unsigned", "signed"])
def test_what_is_true_is_believed(connect, static, manifest, key):
    made = CalibrationMade(calibration=calibration_of(manifest.digest))
    said = an_evaluation()
    for each in (said, made):
        serving(static, enveloped(key, each, manifest.digest))
        registry, _ = connect(static)

        (found,) = registry.attestations("acme/guard@1.0")

        assert (found.said, found.key_id) == (each, key and key.public.key_id)
        assert (found.entry.account, found.entry.trusted) == ("lab", True)


def forged(manifest):
    """An envelope that was changed after it was signed."""
    signed = json.loads(enveloped(KEY, an_evaluation(), manifest.digest))
    better = json.loads(enveloped(KEY, an_evaluation(refused=99), manifest.digest))
    signed["payload"] = better["payload"]
    return json.dumps(signed, sort_keys=True, separators=(",", ":")).encode()


LIES = {
    "figures": {
        "evaluation": {
            **listed(enveloped())["evaluation"],
            "j": {"value": 0.99, "low": 0.98, "high": 1.0},
        }
    },
    "no figures": {"evaluation": None},
    "kind": {"kind": "yank"},
    "signed": {"signed": True},
    "key": {"key_id": str(OTHER.public.key_id)},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_an_envelope_is_caught(connect, static, manifest, lie):
    serving(static, enveloped(None, an_evaluation(), manifest.digest), **LIES[lie])
    registry, _ = connect(static)

    with pytest.raises(AttestationError, match="do not believe this registry"):
        registry.attestations("acme/guard@1.0")


def test_another_envelope_than_was_listed_is_refused(connect, static, manifest):
    data = enveloped(None, an_evaluation(), manifest.digest)
    serving(static, data)
    other = enveloped(None, an_evaluation(refused=99), manifest.digest)
    static.replies[f"{BASE}/{digest_bytes(data)}"] = other
    registry, _ = connect(static)

    with pytest.raises(DigestMismatchError, match="nothing in it is believed"):
        registry.attestations("acme/guard@1.0")


def test_what_is_said_of_another_version_is_refused(connect, static):
    """Genuine, signed, and moved to a version that it was not said of."""
    serving(static, enveloped(KEY, an_evaluation(), digest_bytes(b"another")))
    registry, _ = connect(static)

    with pytest.raises(AttestationError, match="not about") as caught:
        registry.attestations("acme/guard@1.0")

    assert caught.value.reason == "subject"


def test_a_signature_on_other_bytes_is_refused(connect, static, manifest):
    serving(static, forged(manifest))
    registry, _ = connect(static)

    with pytest.raises(AttestationError, match="changed after signing"):
        registry.attestations("acme/guard@1.0")


def test_a_manifest_of_another_digest_is_refused(connect, static, manifest):
    static.replies[BASE.replace("attestations", "manifest")] = b"{}"
    registry, _ = connect(static)

    with pytest.raises(DigestMismatchError):
        registry.attestations("acme/guard@1.0")
    with pytest.raises(DigestMismatchError):
        registry.attest("acme/guard@1.0", an_evaluation())


def test_nothing_is_sent_that_is_about_another_version(connect, static):
    made = CalibrationMade(calibration=calibration_of(digest_bytes(b"another")))
    registry, server = connect(static)

    with pytest.raises(AttestationError, match="the calibration is for"):
        registry.attest("acme/guard@1.0", made)

    assert {got.method for got in server.requests} == {"GET"}


@pytest.fixture
def report(tmp_path):
    """A report of a target and of the same with the vector."""
    models = {
        "target": evaluation(20, 0, ordinary=0),
        "repaired": evaluation(80, 5, ordinary=1, degenerate=2),
    }
    found = Report.of(models, commit="abc", facts={"digest": f"sha256:{'1' * 64}"})
    place = tmp_path / "report.json"
    found.write_json(place)
    return place


def test_a_report_is_taken_as_it_is(report, tmp_path):
    said, digest = read_measured(report)
    target, _ = read_measured(report, model="target")
    alone = tmp_path / "mine.json"
    alone.write_text(evaluation(80, 5, ordinary=1, degenerate=2).to_json())
    one, unknown = read_measured(alone)
    other, _ = read_measured(alone, against="ordinary")

    assert digest == f"sha256:{'1' * 64}"
    assert unknown is None
    assert (said.model, one.model, target.model) == ("repaired", "mine", "target")
    assert said.sets == one.sets
    assert set(said.sets) == {"harmful", "lookalike", "ordinary"}
    outcomes = said.sets["harmful"].outcomes
    assert (outcomes.refuse, outcomes.comply, outcomes.degenerate) == (80, 18, 2)
    assert (said.J.value, other.J.value, said.against) == ("0.75", "0.79", "lookalike")
    assert said.prompts == target.prompts == other.prompts
    assert said.judge == "rules"


def test_other_prompts_have_another_digest(tmp_path):
    digests = set()
    for number, ordinary in enumerate((1, None)):
        place = tmp_path / f"{number}.json"
        place.write_text(evaluation(80, 5, ordinary=ordinary).to_json())
        digests.add(read_measured(place)[0].prompts)

    assert len(digests) == 2


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"model": "other"}, "one of target, repaired, got other"),
        ({"against": "xstest"}, "no answers of the set 'xstest'"),
    ],
    ids=["model", "set"],
)
def test_what_is_not_there_is_named(report, chosen, told):
    with pytest.raises(InvalidDataError, match=told):
        read_measured(report, **chosen)


@pytest.mark.parametrize("text", ["", "[]", "1", "{}", '{"models": 1}'])
def test_what_is_no_evaluation_is_refused(tmp_path, text):
    place = tmp_path / "x.json"
    place.write_text(text)

    with pytest.raises(InvalidDataError):
        read_measured(place)


def test_the_command_shows_who_says_what(
    connect, static, manifest, tmp_path, capsys, monkeypatch
):
    data = enveloped(KEY, an_evaluation(), manifest.digest)
    made = CalibrationMade(calibration=calibration_of(manifest.digest))
    other = enveloped(None, made, manifest.digest)
    static.replies[BASE] = {
        "items": [listed(data), {**listed(other), "trusted": False}],
        "next_cursor": None,
    }
    for each in (data, other):
        static.replies[f"{BASE}/{digest_bytes(each)}"] = each
    _, server = connect(static)
    monkeypatch.setenv("SAFEGENE_CACHE", str(tmp_path / "cache"))

    code = main(["attestations", "acme/guard@1.0", "--url", server.url])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    for part in ("lab", "trusted", KEY.public.key_id.hex[:12], "0.80 [0.69, 0.86]"):
        assert part in lines[1]
    for part in ("lab", "claimed", "unsigned", "0.60 [0.40, 0.80]", "0.0190"):
        assert part in lines[4]
