"""What is said of versions: who may, what is kept, and whose word counts."""

import dataclasses
import json
from datetime import timedelta

import pytest
from safegene_registry.access import Scope
from safegene_registry.attestations import posting
from safegene_registry.models import EventRow
from sqlalchemy import select
from support.attestations import (
    an_evaluation,
    calibration_of,
    enveloped,
)
from support.registry_app import Clock, bearer
from support.versions import write_version

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE, Envelope
from safegene.artifact.attestation.keys import PrivateKey
from safegene.artifact.attestation.predicates import (
    CalibrationMade,
    Provenance,
    YankStatement,
)
from safegene.artifact.digest import digest_bytes

GUARD = "/v1/vectors/acme/guard"
PATH = f"{GUARD}/versions/1.0.0/attestations"
TRUST = "/v1/namespaces/acme/evaluators"
KEY = PrivateKey.generate()
YANK = YankStatement(reason="refuses everything")


@pytest.fixture
def version(registry, tmp_path):
    """Digest of a published version."""
    manifest = write_version(tmp_path / "v", vector="acme/guard")
    assert registry.publish(manifest, tmp_path / "v").status_code == 201
    return manifest.digest


@pytest.fixture
def owner(registry, version):
    return bearer(registry.token_of("tests", Scope.ADMIN))


@pytest.fixture
def stranger(registry):
    """With a token that may publish, and no role anywhere."""
    return bearer(registry.token_of("lab"))


def post(registry, headers, data, status=201, path=PATH):
    answer = registry.client.post(
        path, content=data, headers={**headers, "Content-Type": ENVELOPE_MEDIA_TYPE}
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def listed(registry, **params):
    answer = registry.client.get(PATH, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def trust(registry, headers, name, status=200, **wanted):
    answer = registry.client.put(f"{TRUST}/{name}", json=wanted, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_an_evaluation_is_listed_with_its_figures(registry, version, stranger):
    data = enveloped(None, an_evaluation(), version)

    said = post(registry, stranger, data)

    assert listed(registry) == [said]
    assert said["digest"] == str(digest_bytes(data))
    assert (said["kind"], said["account"]) == ("evaluation", "lab")
    assert (said["signed"], said["key_id"], said["trusted"]) == (False, None, False)
    figures = said["evaluation"]
    assert figures["against"] == "lookalike"
    assert (figures["harmful_samples"], figures["harmless_samples"]) == (100, 100)
    expected = an_evaluation()
    for name, figure in (
        ("harm", expected.harm),
        ("j", expected.J),
        ("over_refusal", expected.over_refusal),
    ):
        assert tuple(figures[name].values()) == figure.numbers
    assert said["calibration"] is None


def test_an_envelope_comes_back_byte_for_byte(registry, version, stranger):
    data = enveloped(KEY, an_evaluation(), version)
    said = post(registry, stranger, data)

    answer = registry.client.get(f"{PATH}/{said['digest']}")

    assert answer.content == data
    assert answer.headers["content-type"] == ENVELOPE_MEDIA_TYPE
    assert "immutable" in answer.headers["cache-control"]
    tag = {"If-None-Match": answer.headers["etag"]}
    known = registry.client.get(f"{PATH}/{said['digest']}", headers=tag)
    assert (known.status_code, known.content) == (304, b"")
    assert registry.client.get(f"{PATH}/sha256:{'0' * 64}").status_code == 404


def test_the_same_again_is_a_success_and_changes_nothing(registry, version, stranger):
    data = enveloped(KEY, an_evaluation(), version)
    first = post(registry, stranger, data)

    again = post(registry, stranger, data, status=200, path=PATH.replace("1.0.0", "1"))

    assert again == first
    assert listed(registry) == [first]
    assert len(events(registry, "attestation")) == 1


def test_another_account_says_so_in_its_own_name(registry, version, stranger):
    """Nobody takes somebody's word from them by posting it first."""
    data = enveloped(None, an_evaluation(), version)
    post(registry, stranger, data)
    other = bearer(registry.token_of("other"))

    said = post(registry, other, data)

    assert [one["account"] for one in listed(registry)] == ["other", "lab"]
    assert {one["digest"] for one in listed(registry)} == {said["digest"]}


def test_a_calibration_and_others_are_of_their_kind(registry, version, owner):
    made = CalibrationMade(calibration=calibration_of(version, gain="0.61"))
    built = Provenance(builder="ci", tool="safegene/0.1.0")

    said = [
        post(registry, owner, enveloped(None, each, version))
        for each in (made, built, YANK)
    ]

    assert [each["kind"] for each in said] == ["calibration", "provenance", "yank"]
    gained = {"value": 0.61, "low": 0.4, "high": 0.8}
    assert said[0]["calibration"] == {"gain": gained, "kl": 0.019}
    assert said[0]["target_fingerprint"] == str(digest_bytes(b"a target"))
    assert said[1]["calibration"] is said[1]["evaluation"] is None
    assert [one["kind"] for one in listed(registry, kind="yank")] == ["yank"]


def test_a_yank_statement_takes_who_may_yank(registry, version, stranger, owner):
    data = enveloped(KEY, YANK, version)

    refused = post(registry, stranger, data, status=403)
    post(registry, registry.auth, data)

    assert "publisher" in refused["detail"]
    # It says so; what hides a version is yanking it.
    assert registry.client.get(f"{GUARD}/resolve").status_code == 200


def hide(registry, owner):
    answer = registry.client.patch(
        "/v1/namespaces/acme", json={"visibility": "private"}, headers=owner
    )
    assert answer.status_code == 200, answer.text


def test_what_is_private_stays_so(registry, version, stranger, owner):
    data = enveloped(None, an_evaluation(), version)
    said = post(registry, stranger, data)
    hide(registry, owner)

    hidden = post(registry, stranger, data, status=404)
    nowhere = post(
        registry, stranger, data, status=404, path=PATH.replace("acme", "nowhere")
    )

    assert hidden["detail"].replace("acme", "nowhere") == nowhere["detail"]
    for path in (PATH, f"{PATH}/{said['digest']}", TRUST):
        assert registry.client.get(path, headers=stranger).status_code == 404
        assert registry.client.get(path, headers=owner).status_code == 200


def test_tokens_that_only_read_or_are_for_elsewhere_say_nothing(registry, version):
    data = enveloped(None, an_evaluation(), version)
    reading = bearer(registry.token_of("lab", Scope.READ))
    elsewhere = bearer(registry.token_of("tests", namespace="acme"))

    post(registry, reading, data, status=403)
    post(registry, {}, data, status=401)
    post(registry, elsewhere, data)


def test_whose_word_counts_is_looked_up_when_it_is_asked_for(
    registry, version, stranger, owner
):
    unsigned = enveloped(None, an_evaluation(), version)
    signed = enveloped(KEY, an_evaluation(refused=80), version)
    post(registry, stranger, unsigned)
    post(registry, bearer(registry.token_of("mirror")), signed)

    def counting():
        return sorted(one["account"] for one in listed(registry, trusted=True))

    assert counting() == []
    trust(registry, owner, "lab", account="lab")
    assert counting() == ["lab"]
    keyed = trust(registry, owner, "key", public_key=KEY.public.pem)
    assert keyed["key_id"] == str(KEY.public.key_id)
    assert counting() == ["lab", "mirror"]
    # Both in one: the account has to have signed.
    trust(registry, owner, "lab", account="lab", public_key=KEY.public.pem)
    assert counting() == ["mirror"]
    post(registry, stranger, signed)
    assert counting() == ["lab", "mirror"]
    claimed = listed(registry, trusted=False)
    assert [(one["account"], one["signed"]) for one in claimed] == [("lab", False)]

    for name in ("lab", "key"):
        gone = registry.client.delete(f"{TRUST}/{name}", headers=owner)
        assert gone.status_code == 204
    assert counting() == []
    assert len(listed(registry)) == 3


def test_the_answer_to_who_posts_tells_whether_it_counts(registry, version, owner):
    trust(registry, owner, "key", public_key=KEY.public.pem)

    assert post(registry, owner, enveloped(KEY, YANK, version))["trusted"] is True
    assert post(registry, owner, enveloped(None, YANK, version))["trusted"] is False


def test_only_owners_say_who_counts(registry, version, stranger, owner):
    trust(registry, stranger, "me", status=403, account="lab")
    trust(registry, registry.auth, "me", status=403, account="tests")
    trust(registry, owner, "nobody", status=422)
    trust(registry, owner, "nobody", status=404, account="no-such-account")
    trust(registry, owner, "no/name", status=404, account="tests")
    wrong = trust(registry, owner, "key", status=422, public_key="PEM?")

    assert wrong["errors"][0]["pointer"] == "/public_key"
    gone = registry.client.delete(f"{TRUST}/nobody", headers=owner)
    assert gone.status_code == 404


def events(registry, subject):
    with registry.services.database.reading() as session:
        rows = session.scalars(select(EventRow).order_by(EventRow.position)).all()
    return [
        (row.kind, row.version, json.loads(row.details))
        for row in rows
        if row.kind.startswith(subject)
    ]


def test_all_is_in_the_events(registry, version, stranger, owner):
    said = post(registry, stranger, enveloped(KEY, an_evaluation(), version))
    trust(registry, owner, "lab", account="lab")
    trust(registry, owner, "lab", account="lab")
    registry.client.delete(f"{TRUST}/lab", headers=owner)

    posted = {"attestation": said["digest"], "attested": "evaluation"}
    key = {"key_id": str(KEY.public.key_id)}
    assert events(registry, "attestation") == [
        ("attestation.posted", "1.0.0", {**posted, **key})
    ]
    assert events(registry, "evaluator") == [
        (
            "evaluator.trusted",
            None,
            {"evaluator": "lab", "account": "lab", "key_id": None},
        ),
        ("evaluator.distrusted", None, {"evaluator": "lab", "key_id": None}),
    ]


def test_evaluators_are_listed_in_pages(registry, version, owner):
    for name in ("c", "a", "b"):
        trust(registry, owner, name, account="tests")

    one = registry.client.get(TRUST, params={"limit": 2}).json()
    rest = registry.client.get(
        TRUST, params={"limit": 2, "cursor": one["next_cursor"]}
    ).json()

    assert [item["name"] for item in one["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None


def test_pages_go_from_the_last_to_the_first(registry, version, stranger):
    clock = Clock()
    services = dataclasses.replace(registry.services, now=clock)
    registry.app.state.services = services
    digests = []
    for number in range(5):
        clock.ahead += timedelta(seconds=1 if number != 3 else 0)
        said = enveloped(None, an_evaluation(refused=90 - number), version)
        digests.append(post(registry, stranger, said)["digest"])

    found, cursor = [], None
    while True:
        params = {"limit": 2} if cursor is None else {"limit": 2, "cursor": cursor}
        page = registry.client.get(PATH, params=params)
        found += [one["digest"] for one in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        assert ("link" in page.headers) == (cursor is not None)
        if cursor is None:
            break

    assert sorted(found) == sorted(digests)
    assert found[-3:] == digests[2::-1]
    wrong = registry.client.get(PATH, params={"cursor": "?"})
    assert wrong.status_code == 422


def test_filters(registry, version, stranger, owner):
    post(registry, stranger, enveloped(KEY, an_evaluation(), version))
    post(registry, owner, enveloped(None, an_evaluation(), version))

    def accounts(**params):
        return [one["account"] for one in listed(registry, **params)]

    assert accounts(signed=True) == accounts(evaluator="lab") == ["lab"]
    assert accounts(signed=False) == accounts(evaluator="tests") == ["tests"]
    assert accounts(evaluator="nobody") == []
    for wrong in ({"kind": "rumour"}, {"signed": "perhaps"}, {"evaluator": "/"}):
        assert registry.client.get(PATH, params=wrong).status_code == 422


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not JSON"),
        (b"{}", "/payload"),
        (enveloped(KEY, an_evaluation(), digest_bytes(b"another")), "is about"),
    ],
    ids=["empty", "no envelope", "another version"],
)
def test_what_is_wrong_is_not_kept(registry, version, stranger, data, told):
    refused = post(registry, stranger, data, status=422)

    assert refused["type"].endswith("/attestation-invalid")
    assert told in refused["detail"]
    assert listed(registry) == []
    other = registry.client.post(PATH, content=b"{}", headers=stranger)
    assert other.status_code == 415


def test_a_forged_signature_is_not_kept(registry, version, stranger):
    whole = json.loads(enveloped(KEY, an_evaluation(), version))
    other = json.loads(enveloped(KEY, an_evaluation(refused=99), version))
    forged = {**other, "signatures": whole["signatures"]}
    data = json.dumps(forged, sort_keys=True, separators=(",", ":")).encode()
    assert Envelope.from_bytes(data).statement.digest == version

    refused = post(registry, stranger, data, status=422)

    assert "changed after signing" in refused["detail"]
    assert refused["errors"][0]["pointer"] == "/signatures/0/sig"
    assert listed(registry) == []


def test_numbers_beyond_all_bounds_are_refused(registry, version, stranger):
    made = CalibrationMade(calibration=calibration_of(version, kl="1e999"))

    refused = post(registry, stranger, enveloped(None, made, version), status=422)

    assert "finite" in refused["detail"]


def test_nobody_floods_a_version(registry, version, stranger, owner, monkeypatch):
    monkeypatch.setattr(posting, "MAX_OF_ACCOUNT", 2)
    said = [
        enveloped(None, an_evaluation(refused=90 - number), version)
        for number in range(3)
    ]
    for data in said[:2]:
        post(registry, stranger, data)

    refused = post(registry, stranger, said[2], status=409)

    assert refused["type"].endswith("/attestation-limit")
    post(registry, stranger, said[0], status=200)
    post(registry, owner, said[2])


def test_what_was_purged_has_none(registry, version, stranger, owner):
    data = enveloped(None, an_evaluation(), version)
    post(registry, stranger, data)
    gone = registry.client.post(
        f"{GUARD}/versions/1.0.0/purge",
        json={"reason": "court", "digest": str(version)},
        headers=owner,
    )
    assert gone.status_code == 200, gone.text

    post(registry, stranger, data, status=410)
    assert registry.client.get(PATH).status_code == 410
