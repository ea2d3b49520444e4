"""What fits is shown with what was said of it: trusted first, else as claimed."""

import pytest
from safegene_registry.access import Scope
from support.attestations import an_evaluation, calibration_of, enveloped
from support.registry_app import app_registry, bearer
from support.versions import llama_config, neox_config, write_version

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE
from safegene.artifact.attestation.predicates import CalibrationMade

LLAMA = str(architecture_from_config(llama_config()).fingerprint)
MANY = an_evaluation(refused=900, over_refused=100, n=1000)
FEW = an_evaluation()
BETTER = an_evaluation(refused=1000, over_refused=0, n=1000)


def made(digest, **figures):
    return CalibrationMade(calibration=calibration_of(digest, **figures))


@pytest.fixture(scope="module")
def stocked(tmp_path_factory, module_parts):
    """Of `guard` much is said by a trusted lab and by others; of `rumour` by others."""
    root = tmp_path_factory.mktemp("said")
    with app_registry(root / "data", **module_parts) as registry:
        for number, (name, config) in enumerate(
            [
                *(("guard", llama_config()), ("rumour", llama_config())),
                *(("silent", llama_config()), ("other", neox_config())),
            ]
        ):
            manifest = write_version(
                root / str(number), vector=f"acme/{name}", seed=number, config=config
            )
            assert registry.publish(manifest, root / str(number)).status_code == 201
            say(registry, name, manifest.digest)
        answer = registry.client.put(
            "/v1/namespaces/acme/evaluators/lab",
            json={"account": "lab"},
            headers=bearer(registry.token_of("tests", Scope.ADMIN)),
        )
        assert answer.status_code == 200, answer.text
        yield registry


def say(registry, name, digest):
    said = {
        "guard": [
            *(("lab", FEW), ("lab", MANY), ("anybody", BETTER)),
            *(("lab", made(digest)), ("anybody", made(digest, kl="0.001"))),
        ],
        "rumour": [("anybody", FEW), ("anybody", BETTER), ("anybody", made(digest))],
        "silent": [],
        "other": [("lab", FEW)],
    }
    for account, each in said[name]:
        answer = registry.client.post(
            f"/v1/vectors/acme/{name}/versions/1.0.0/attestations",
            content=enveloped(None, each, digest),
            headers={
                **bearer(registry.token_of(account)),
                "Content-Type": ENVELOPE_MEDIA_TYPE,
            },
        )
        assert answer.status_code == 201, answer.text


def asked(registry):
    """The answers of all three ways to ask, which say the same of each version."""
    body = {"config": llama_config()}
    posted = registry.client.post("/v1/compatibility", json=body).json()
    path = f"/v1/compatibility?fingerprint={LLAMA}"
    by_family = registry.client.get(path).json()
    fleet = registry.client.post(
        "/v1/compatibility/fleet", json={"configs": [llama_config()], "limit": 10}
    ).json()
    fits, others = figures(posted["fits"]), figures(posted["others"])
    assert figures(by_family["fits"]) == fits
    assert figures(fleet["answers"][0]["fits"]) == fits
    assert figures(by_family["others"]) == others
    return {match["name"]: match for match in (*posted["fits"], *posted["others"])}


def figures(matches):
    """What is shown of each beside how it compares."""
    shown = ("size_bytes", "evaluation", "calibration")
    return {match["name"]: [match[name] for name in shown] for match in matches}


def test_who_is_trusted_comes_before_who_claims_more(stocked):
    found = asked(stocked)["guard"]

    best, calibration = found["evaluation"], found["calibration"]
    assert tuple(best["j"].values()) == MANY.J.numbers
    assert tuple(best["over_refusal"].values()) == MANY.over_refusal.numbers
    assert (best["harmful_samples"], best["version"]) == (1000, "1.0.0")
    assert (best["trusted"], calibration["trusted"]) == (True, True)
    assert calibration["kl"] == 0.019
    assert calibration["gain"] == {"value": 0.6, "low": 0.4, "high": 0.8}


def test_what_is_only_claimed_is_marked(stocked):
    found = asked(stocked)["rumour"]

    assert tuple(found["evaluation"]["j"].values()) == BETTER.J.numbers
    assert found["evaluation"]["trusted"] is False
    assert found["calibration"]["trusted"] is False


def test_what_nobody_speaks_of_has_its_size_and_no_more(stocked):
    found = asked(stocked)

    assert found["silent"]["evaluation"] is found["silent"]["calibration"] is None
    files = stocked.client.get("/v1/vectors/acme/silent/versions/1.0.0").json()
    assert found["silent"]["size_bytes"] == files["size_bytes"] > 0


def test_what_does_not_fit_is_shown_alike(stocked):
    found = asked(stocked)["other"]

    assert found["level"] == "incompatible"
    assert tuple(found["evaluation"]["j"].values()) == FEW.J.numbers
    assert found["evaluation"]["trusted"] is True


def test_what_caches_keep_changes_with_what_is_said(stocked, tmp_path):
    path = f"/v1/compatibility?fingerprint={LLAMA}&limit=1&namespace=acme"
    manifest = write_version(tmp_path / "v", vector="acme/newer", seed=9)
    assert stocked.publish(manifest, tmp_path / "v").status_code == 201
    before = stocked.client.get(path)
    tag = {"If-None-Match": before.headers["etag"]}
    assert stocked.client.get(path, headers=tag).status_code == 304

    answer = stocked.client.post(
        "/v1/vectors/acme/newer/versions/1.0.0/attestations",
        content=enveloped(None, FEW, manifest.digest),
        headers={
            **bearer(stocked.token_of("lab")),
            "Content-Type": ENVELOPE_MEDIA_TYPE,
        },
    )
    assert answer.status_code == 201, answer.text

    after = stocked.client.get(path, headers=tag)
    assert after.status_code == 200
    (match,) = after.json()["fits"]
    assert match["evaluation"]["harmful_samples"] == 100
