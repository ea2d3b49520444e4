"""Somebody measures, signs and says so; an owner trusts them; everybody sees both."""

import json
import os

import pytest
from support.attestations import calibration_of
from support.evaluations import evaluation
from support.versions import llama_config, write_version

from safegene.artifact.attestation.keys import PrivateKey
from safegene.evaluation.report import Report


@pytest.fixture(scope="module")
def registry_server(each_registry_server):
    """On every kind of backend."""
    return each_registry_server


@pytest.fixture
def guard(safegene):
    """A published version; its namespace, its reference and its digest."""
    namespace = f"attesting-{os.urandom(4).hex()}"
    manifest = write_version(safegene.directory / "v", vector=f"{namespace}/guard")
    safegene.must("push", "v")
    return namespace, f"{namespace}/guard@1.0.0", manifest.digest


@pytest.fixture
def owner(safegene, registry_server):
    return safegene.having(SAFEGENE_TOKEN=registry_server.token_of(scope="admin"))


@pytest.fixture
def lab(safegene, registry_server):
    """The command of an account that has no role in the namespace."""
    return safegene.having(SAFEGENE_TOKEN=registry_server.token_of("lab"))


def write_report(place, digest, refused):
    models = {"target": evaluation(20, 0), "repaired": evaluation(refused, 5)}
    Report.of(models, commit="abc", facts={"digest": str(digest)}).write_json(place)


def found_by(command, *search):
    """Digests of the best evaluations of what a search finds."""
    return [item["evaluation"]["digest"] for item in command.must(*search)["vectors"]]


def test_two_evaluations_stand_side_by_side(safegene, owner, lab, guard):
    namespace, ref, digest = guard
    here = safegene.directory
    key = PrivateKey.generate()
    (here / "key.pem").write_bytes(key.to_pem())
    (here / "key.pub").write_text(key.public.pem)
    write_report(here / "report.json", digest, 80)
    (here / "mine.json").write_text(evaluation(99, 5).to_json())
    (here / "calibration.json").write_bytes(calibration_of(digest).to_bytes())

    said = lab.must("attest", ref, "--evaluation", "report.json", "--sign", "key.pem")
    again = lab.must("attest", ref, "--evaluation", "report.json", "--sign", "key.pem")
    safegene.must("attest", ref, "--evaluation", "mine.json", "--model", "repaired")
    safegene.must("attest", ref, "--calibration", "calibration.json")
    refused = lab.run("attest", ref, "--yank", "bad")
    trusted = owner.must("evaluator", "trust", namespace, "lab", "--key", "key.pub")

    assert (said["signed"], said["trusted"], again) == (True, False, said)
    assert refused.code == 4
    assert trusted["key_id"] == said["key_id"] == str(key.public.key_id)
    shown = safegene.run("attestations", ref, "--kind", "evaluation").out.splitlines()
    mine, theirs = sorted(shown[1:], key=lambda line: "trusted" in line)
    assert all(part in mine for part in ("claimed", "unsigned", "0.94 [0.8"))
    assert all(part in theirs for part in ("lab", "trusted", "0.75 [0.6", "100+100"))
    # The same prompts: they compare.
    assert mine.split()[-1] == theirs.split()[-1]
    counting = safegene.must("attestations", ref, "--trusted")["attestations"]
    assert [one["digest"] for one in counting] == [said["digest"]]
    assert counting[0]["said"]["sets"]["harmful"]["outcomes"]["refuse"] == 80
    assert "0.60 [0.40, 0.80]" in safegene.run("attestations", ref).out

    (here / "model.json").write_text(json.dumps(llama_config()))
    fits = safegene.must("compatible", "model.json", "--namespace", namespace)["fits"]
    assert fits[0]["evaluation"]["digest"] == said["digest"]
    assert fits[0]["evaluation"]["trusted"] is True
    assert fits[0]["calibration"]["trusted"] is False
    table = safegene.run("compatible", "model.json", "--namespace", namespace).out
    for part in ("GAIN", "0.75", "OVER-REFUSAL", "COST", "0.019", "(claimed)"):
        assert part in table

    search = ("search", "--namespace", namespace, "--sort", "j")
    asked = ("--j-at-least", "0.6", "--harmful-samples", "100", "--signed")
    assert found_by(safegene, *search, *asked) == [said["digest"]]
    assert found_by(safegene, *search, "--j-at-least", "0.7") == []
    table = safegene.run(*search).out
    for part in ("GAIN", "J 0.75 [0.6", "OVER-REFUSAL", "0.05 [0.0"):
        assert part in table

    listed = safegene.run("evaluator", "list", namespace).out
    assert "lab" in listed
    assert said["key_id"] in listed
    owner.must("evaluator", "distrust", namespace, "lab")
    assert safegene.must("attestations", ref, "--trusted")["attestations"] == []
    assert safegene.run("evaluator", "list", namespace).out == "nobody is trusted\n"


def test_what_cannot_be_said(safegene, guard):
    _, ref, _ = guard
    other = f"sha256:{'0' * 64}"
    write_report(safegene.directory / "report.json", other, 80)

    elsewhere = safegene.run("attest", ref, "--evaluation", "report.json")
    nothing = safegene.run("attest", ref)
    both = safegene.run("attest", ref, "--yank", "x", "--evaluation", "report.json")
    (safegene.directory / "key.pem").write_text("no key")
    keyless = safegene.run("attest", ref, "--yank", "x", "--sign", "key.pem")
    missing = safegene.run("attest", ref, "--evaluation", "none.json")

    assert (elsewhere.code, nothing.code, both.code) == (2, 2, 2)
    assert (keyless.code, missing.code) == (2, 2)
    assert f"measured with the version {other}" in elsewhere.err
    assert "safegene keys new" in keyless.err
    assert safegene.run("attestations", ref).out == "nobody has said anything\n"
