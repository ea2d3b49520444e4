"""What is said of versions follows to a mirror, and counts there by its key alone."""

import os
from dataclasses import dataclass

import httpx
import pytest
from safegene_registry.access import Scope
from safegene_registry.attestations import posting
from safegene_registry.care.following import Follower
from safegene_registry.care.fsck import examine
from safegene_registry.care.mirror import Run, mirror
from safegene_registry.care.remote import RemoteAttestation
from safegene_registry.care.upstream import Upstream
from safegene_registry.services import utc_now
from support.aliases import protect
from support.attestations import an_evaluation, enveloped
from support.mirrors import add_version
from support.opened import opened
from support.promotion import set_policy
from support.registry_app import app_registry, bearer
from support.registry_server import running_registry
from support.replicas import client_of

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE, Envelope
from safegene.artifact.attestation.keys import PrivateKey
from safegene.artifact.attestation.predicates import Provenance, YankStatement
from safegene.artifact.digest import Digest, digest_bytes

EVALUATORS = "/v1/namespaces/acme/evaluators"
KEY, STRANGE = PrivateKey.generate(), PrivateKey.generate()
OTHER = digest_bytes(b"some other version")
TYPE = {"Content-Type": ENVELOPE_MEDIA_TYPE}


@pytest.fixture
def target(tmp_path, parts):
    with opened(tmp_path / "target", parts) as services:
        yield services


@dataclass
class Own:
    """A vector of a test's own in the registry that is mirrored."""

    url: str
    vector: str
    client: httpx.Client
    lab: str
    """Token of an account that has no role there."""

    @property
    def path(self):
        return f"/v1/vectors/{self.vector}"

    def said(self, version):
        """Where what is said of a version is."""
        return f"{self.path}/versions/{version}/attestations"

    def digest_of(self, version):
        answer = self.client.get(f"{self.path}/versions/{version}")
        return Digest.parse(answer.json()["digest"])

    def post(self, version, said, key=None, token=None):
        """Say something of a version; the envelope's bytes."""
        data = enveloped(key, said, self.digest_of(version))
        headers = {**TYPE, **({} if token is None else bearer(token))}
        answer = self.client.post(self.said(version), content=data, headers=headers)
        assert answer.status_code == 201, answer.text
        return data

    def listed(self, version, client=None, **params):
        """What is said of a version, there or in a mirror."""
        answer = (client or self.client).get(self.said(version), params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    def told(self, version, client=None):
        """The same, but for whose account says so, the oldest first."""
        items = reversed(self.listed(version, client))
        return [{**each, "account": None, "trusted": None} for each in items]

    def mirrored(self, services, upstream=None):
        """Mirror the vector, and nothing of other tests."""
        if upstream is not None:
            return mirror(services, upstream, [self.vector])
        with Upstream(self.url, None) as ours:
            return mirror(services, ours, [self.vector])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A registry that is mirrored, with tokens of its operator and of a lab."""
    with running_registry(tmp_path_factory.mktemp("source")) as running:
        yield running, running.token_of(scope="admin"), running.token_of("lab")


@pytest.fixture
def own(source, tmp_path):
    running, token, lab = source
    vector = f"acme/v{os.urandom(4).hex()}"
    with client_of(running.url, token) as client:
        for number in range(3):
            add_version(client, tmp_path, vector, f"1.{number}.0", seed=number)
        yield Own(running.url, vector, client, lab)


class Counting(Upstream):
    """Knows which versions it was asked about."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.asked = []

    def attestations(self, version):
        self.asked.append(version.version)
        return super().attestations(version)


def test_what_is_said_follows_byte_for_byte(own, target, tmp_path, parts, monkeypatch):
    """Signed or not, of every kind, however many others have said: as it is there."""
    monkeypatch.setattr(posting, "MAX_OF_ACCOUNT", 1)
    built = Provenance(builder="ci", tool="safegene/0.1.0")
    said = [
        own.post("1.0.0", an_evaluation(), KEY, own.lab),
        own.post("1.0.0", built),
        own.post("1.0.0", YankStatement(reason="Not for us")),
        own.post("1.2.0", an_evaluation(refused=80)),
    ]
    # The same from somebody else is said twice there, and is one envelope.
    own.post("1.2.0", an_evaluation(refused=80), None, own.lab)

    done = own.mirrored(target)
    again = own.mirrored(target)

    there = {version: own.told(version) for version in ("1.0.0", "1.2.0")}
    digests = [str(digest_bytes(data)) for data in said]
    versions = ["1.0.0"] * 3 + ["1.2.0"]
    assert done.refused == again.refused == again.notices == []
    assert done.notices == [
        f"attested {own.vector}@{version} {digest}"
        for version, digest in zip(versions, digests, strict=True)
    ]
    with app_registry(tmp_path / "target", **parts) as registry:
        here = {version: own.told(version, registry.client) for version in there}
        assert here["1.0.0"] == there["1.0.0"]
        # Of two who said the same the first is told.
        assert here["1.2.0"] == there["1.2.0"][:1]
        for version, digest, data in zip(versions, digests, said, strict=True):
            answer = registry.client.get(f"{own.said(version)}/{digest}")
            assert answer.content == data
        items = own.listed("1.0.0", registry.client)
        assert {each["account"] for each in items} == {"mirror"}
    report = examine(target)
    assert (report.findings, report.attestations) == ([], 4)


def test_nobody_is_trusted_by_being_mirrored(own, target, tmp_path, parts):
    """Only its key helps, however its account is called here, or was trusted there."""
    there = own.client.put(f"{EVALUATORS}/lab", json={"account": "lab"})
    assert there.status_code == 200, there.text
    signed = str(digest_bytes(own.post("1.0.0", an_evaluation(), KEY, own.lab)))
    own.post("1.0.0", an_evaluation(refused=80), None, own.lab)
    assert len(own.listed("1.0.0", trusted=True)) == 2

    own.mirrored(target)

    with app_registry(tmp_path / "target", **parts) as registry:
        registry.token_of("lab")
        chief = bearer(registry.token_of("chief", Scope.ADMIN, operator=True))

        def trust(status, **wanted):
            wanted = {"account": None, "public_key": None, **wanted}
            answer = registry.client.put(f"{EVALUATORS}/us", json=wanted, headers=chief)
            assert answer.status_code == status, answer.text
            found = own.listed("1.0.0", registry.client, trusted=True)
            return [each["digest"] for each in found], answer.json()

        assert own.listed("1.0.0", registry.client, trusted=True) == []
        assert trust(200, account="lab")[0] == []
        assert trust(200, public_key=STRANGE.public.pem)[0] == []
        # Who has posted it is not known here, so the pair is not proved.
        assert trust(200, account="lab", public_key=KEY.public.pem)[0] == []
        counting, problem = trust(422, account="mirror")
        assert (counting, problem["errors"][0]["pointer"]) == ([], "/account")
        assert trust(200, public_key=KEY.public.pem)[0] == [signed]
        assert trust(200, account="mirror", public_key=KEY.public.pem)[0] == [signed]


def test_an_alias_stays_until_the_policy_here_is_met(own, target, tmp_path, parts):
    """It is left as it is, which is no error; protection does not hold a mirror up."""
    demand = {"alias": "stable", "evaluations": [{"signed": True}]}
    stable = f"{own.path}/aliases/stable"
    own.client.put(stable, json={"version": "1.0.0"})
    own.post("1.2.0", an_evaluation(), KEY)
    first = own.mirrored(target)
    with app_registry(tmp_path / "target", **parts) as registry:
        chief = registry.token_of("chief", Scope.ADMIN, operator=True)
        set_policy(registry, chief, demand)
        protect(registry, chief, "stable", [])
    own.client.put(stable, json={"version": "1.2.0"})
    kept = own.mirrored(target)
    with app_registry(tmp_path / "target", **parts) as registry:
        before = registry.client.get(stable).json()["version"]
        key = {"public_key": KEY.public.pem}
        trusted = registry.client.put(
            f"{EVALUATORS}/lab", json=key, headers=bearer(chief)
        )
        assert trusted.status_code == 200, trusted.text
    met = own.mirrored(target)
    with app_registry(tmp_path / "target", **parts) as registry:
        after = registry.client.get(stable).json()["version"]

    assert f"moved {own.vector}:stable to 1.0.0" in first.notices
    (left,) = kept.notices
    assert left.startswith(f"left {own.vector}:stable as it is: ")
    assert (kept.refused, before) == ([], "1.0.0")
    assert (met.notices, after) == ([f"moved {own.vector}:stable to 1.2.0"], "1.2.0")


def forgeries(digest):
    """What no registry sends, by the name it comes under, and why it is refused."""
    honest = Envelope.from_bytes(enveloped(KEY, None, digest))
    better = Envelope.from_bytes(enveloped(None, an_evaluation(refused=99), digest))
    forged = Envelope(better.payload, honest.signature).to_bytes()
    foreign = enveloped(KEY, None, OTHER)
    return {
        OTHER: (enveloped(None, None, digest), f"expected the envelope {OTHER}"),
        digest_bytes(b"{}"): (b"{}", "attestation: "),
        digest_bytes(foreign): (foreign, "not about"),
        digest_bytes(forged): (forged, "the signature is not one of the key"),
    }


def test_what_is_forged_is_refused_and_the_rest_taken(own, target):
    good = str(digest_bytes(own.post("1.0.0", an_evaluation(), KEY)))
    forged = forgeries(own.digest_of("1.0.0"))

    class Lying(Upstream):
        def attestations(self, version):
            found = super().attestations(version)
            more = [RemoteAttestation(name, utc_now()) for name in forged]
            return [*more, *found] if found else []

        def envelope(self, version, attestation):
            if attestation.digest in forged:
                return forged[attestation.digest][0]
            return super().envelope(version, attestation)

    with Lying(own.url, None) as upstream:
        done = own.mirrored(target, upstream)

    assert done.notices == [f"attested {own.vector}@1.0.0 {good}"]
    assert len(done.refused) == len(forged)
    for (name, (_, why)), refused in zip(forged.items(), done.refused, strict=True):
        assert refused.startswith(f"{own.vector}@1.0.0 {name}: ")
        assert why in refused
    report = examine(target)
    assert (report.findings, report.attestations) == ([], 1)


def test_what_is_new_comes_with_the_events(own, target):
    """Only the version that something was said of is asked about."""
    with Counting(own.url, None) as upstream:
        follower = Follower(Run(target, upstream, lambda _: None), [own.vector])
        follower.look()
        first, upstream.asked = upstream.asked, []
        name = digest_bytes(own.post("1.1.0", an_evaluation(), KEY))
        follower.look()
        second, upstream.asked = upstream.asked, []
        yanked = f"{own.path}/versions/1.0.0/yank"
        own.client.put(yanked, json={"reason": "No"})
        follower.look()

    assert sorted(first) == ["1.0.0", "1.1.0", "1.2.0"]
    assert (second, upstream.asked) == (["1.1.0"], [])
    notices = [f"attested {own.vector}@1.1.0 {name}", f"yanked {own.vector}@1.0.0"]
    assert follower.run.done.notices == notices
    assert follower.run.done.refused == []


def test_what_was_purged_here_is_left_alone(own, target, tmp_path, parts):
    """Whatever is said of it there, and though an alias points at it there."""
    version = f"{own.path}/versions/1.0.0"
    own.mirrored(target)
    with app_registry(tmp_path / "target", **parts) as registry:
        purged = registry.client.post(
            f"{version}/purge",
            json={"reason": "by law", "digest": str(own.digest_of("1.0.0"))},
            headers=bearer(registry.token_of("chief", Scope.ADMIN, operator=True)),
        )
        assert purged.status_code == 200, purged.text
    own.post("1.0.0", an_evaluation(), KEY)
    own.client.put(f"{own.path}/aliases/old", json={"version": "1.0.0"})
    own.client.put(f"{version}/deprecation", json={"message": "Old"})
    own.client.put(f"{own.path}/deprecation", json={"message": "All of it"})
    with Counting(own.url, None) as upstream:
        done = own.mirrored(target, upstream)

    left, deprecated = done.notices
    assert left.startswith(f"left {own.vector}:old as it is: ")
    assert "was purged" in left
    assert (deprecated, done.refused) == (f"deprecated {own.vector}", [])
    assert sorted(upstream.asked) == ["1.1.0", "1.2.0"]


def test_what_was_said_here_already_is_not_said_again(own, target, tmp_path, parts):
    own.mirrored(target)
    data = own.post("1.0.0", an_evaluation(), KEY)
    with app_registry(tmp_path / "target", **parts) as registry:
        lab = {**bearer(registry.token_of("lab")), **TYPE}
        path = own.said("1.0.0")
        answer = registry.client.post(path, content=data, headers=lab)
        assert answer.status_code == 201, answer.text
    done = own.mirrored(target)
    with app_registry(tmp_path / "target", **parts) as registry:
        (said,) = own.listed("1.0.0", registry.client)

    assert (done.notices, done.refused) == ([], [])
    assert said["account"] == "lab"
