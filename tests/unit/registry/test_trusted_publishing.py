"""Trusted publishers: which CI jobs get a token, what it opens, who never gets one.

Against a real issuer. What is wrong with a JWT as such is in `test_jwts.py`.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import jwt
import pytest
from safegene_registry import access_repository
from safegene_registry.access import Scope
from safegene_registry.app import create_app
from safegene_registry.settings import Settings
from support.oidc_issuer import (
    AUDIENCE,
    REPOSITORY,
    SigningKey,
    oidc_issuer,
    plain_key,
    rsa_key,
    unsigned,
)
from support.registry_app import AppClient, Clock, app_registry, bearer
from support.versions import write_version


@pytest.fixture(scope="module")
def issuer():
    with oidc_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def other_issuer():
    with oidc_issuer(SigningKey("one", rsa_key("other"))) as issuer:
        yield issuer


@pytest.fixture
def registry(tmp_path, parts, issuer, other_issuer):
    """Asks both issuers; the namespaces acme and vault are the account ann's."""
    issuer.keys = [plain_key()]
    with app_registry(
        tmp_path / "data",
        oidc_issuers=(issuer.url, other_issuer.url),
        oidc_allow_loopback=True,
        exchange_limit_per_minute=None,
        **parts,
    ) as registry:
        headers = bearer(registry.token_of("ann", Scope.ADMIN))
        for name, visibility in (("acme", "public"), ("vault", "private")):
            body = {"name": name, "visibility": visibility}
            registry.client.post("/v1/namespaces", json=body, headers=headers)
        yield registry


@pytest.fixture
def ann(registry):
    """Headers of the owner."""
    return bearer(registry.token_of("ann", Scope.ADMIN))


def trust(registry, headers, trusted, namespace="acme", **wanted):
    body = {
        "name": "release",
        "issuer": trusted.url,
        "claims": {"repository": REPOSITORY, "environment": "release"},
        **wanted,
    }
    url = f"/v1/namespaces/{namespace}/publishers"
    return registry.client.post(url, json=body, headers=headers)


def exchange(registry, jwt, namespace="acme"):
    body = {"namespace": namespace, "jwt": jwt}
    return registry.client.post("/v1/oidc/token", json=body)


def slug(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["type"].rpartition("/")[2]


def test_a_trusted_job_publishes_without_a_secret(registry, ann, issuer, tmp_path):
    trusted = trust(registry, ann, issuer)

    exchanged = exchange(registry, issuer.sign())

    assert trusted.status_code == 201
    assert trusted.json()["audience"] == AUDIENCE
    assert exchanged.status_code == 200
    assert exchanged.headers["cache-control"] == "no-store"
    told = exchanged.json()
    assert (told["namespace"], told["scope"]) == ("acme", "publish")
    assert told["account"] == "acme:release"
    registry.token = told["token"]
    manifest = write_version(tmp_path / "v")
    assert registry.publish(manifest, tmp_path / "v").status_code == 201
    elsewhere = write_version(tmp_path / "w", vector="beta/guard")
    assert registry.open_upload(elsewhere.to_bytes()).status_code == 403
    listed = registry.client.get("/v1/namespaces/acme/publishers", headers=ann).json()
    assert listed["items"][0]["last_used_at"] is not None


def test_the_token_lives_for_minutes(registry, ann, issuer):
    trust(registry, ann, issuer)
    secret = exchange(registry, issuer.sign()).json()["token"]
    clock = Clock()
    registry.app.state.services = replace(registry.services, now=clock)

    before = registry.client.get("/v1/whoami", headers=bearer(secret))
    clock.ahead = timedelta(minutes=30)
    after = registry.client.get("/v1/whoami", headers=bearer(secret))

    assert (before.status_code, after.status_code) == (200, 401)


def test_a_reader_gets_a_token_to_read(registry, ann, issuer, tmp_path):
    trust(registry, ann, issuer, "vault", role="reader")

    told = exchange(registry, issuer.sign(), "vault").json()

    assert told["scope"] == "read"
    seen = registry.client.get("/v1/namespaces/vault", headers=bearer(told["token"]))
    assert seen.status_code == 200


REFUSED = [
    pytest.param(
        lambda issuer, _: issuer.claims(aud="sigstore"), "audience", id="audience"
    ),
    pytest.param(lambda issuer, _: issuer.claims(aud=[]), "audience", id="no-audience"),
    pytest.param(
        lambda issuer, _: issuer.claims(repository="acme/other"),
        "claims",
        id="other-repository",
    ),
    pytest.param(
        lambda issuer, _: issuer.claims(repository="acme/vectors2"),
        "claims",
        id="repository-that-begins-the-same",
    ),
    pytest.param(
        lambda issuer, _: issuer.claims(repository=["acme/vectors"]),
        "claims",
        id="repository-as-a-list",
    ),
    pytest.param(
        lambda issuer, _: issuer.claims(environment=None),
        "claims",
        id="missing-claim",
    ),
    pytest.param(
        lambda issuer, _: issuer.claims(exp=int(time.time()) - 60),
        "expired",
        id="expired",
    ),
]


@pytest.mark.parametrize(("claims", "reason"), REFUSED)
def test_another_job_gets_nothing(registry, ann, issuer, other_issuer, claims, reason):
    trust(registry, ann, issuer)

    refused = exchange(registry, issuer.sign(claims(issuer, other_issuer)))

    assert (refused.status_code, slug(refused)) == (401, "identity-rejected")
    assert reason in refused.json()["detail"]
    assert "sgt_" not in refused.text


def test_another_issuer_does_not_speak_for_the_trusted_one(
    registry, ann, issuer, other_issuer
):
    """It is asked for others' jobs, and says the very same of its own."""
    trust(registry, ann, issuer)

    honest = exchange(registry, other_issuer.sign())
    lying = exchange(registry, other_issuer.sign(other_issuer.claims(iss=issuer.url)))

    assert slug(honest) == slug(lying) == "identity-rejected"
    assert "signature verification failed" in lying.json()["detail"]


def test_an_unsigned_jwt_gets_nothing(registry, ann, issuer):
    trust(registry, ann, issuer)
    forged = unsigned({"alg": "none", "kid": "one"}, issuer.claims())

    assert slug(exchange(registry, forged)) == "identity-rejected"


def test_a_key_that_the_issuer_has_changed_serves(registry, ann, issuer):
    trust(registry, ann, issuer)
    assert exchange(registry, issuer.sign()).status_code == 200
    known = registry.services.issuers.known[issuer.url]

    issuer.keys = [plain_key("two")]
    known.tried_at = None

    assert exchange(registry, issuer.sign()).status_code == 200


def test_a_jwt_is_exchanged_once(registry, ann, issuer):
    trust(registry, ann, issuer)
    signed = issuer.sign()
    first = exchange(registry, signed)

    again = exchange(registry, signed)
    resigned = exchange(
        registry, issuer.sign(issuer.claims(jti=claims_of(signed)["jti"]))
    )

    assert first.status_code == 200
    assert slug(again) == slug(resigned) == "identity-rejected"
    assert "was exchanged before" in again.json()["detail"]


def claims_of(text):
    return jwt.decode(text, options={"verify_signature": False})


def test_of_many_who_bring_one_jwt_at_once_one_gets_a_token(registry, ann, issuer):
    trust(registry, ann, issuer)
    signed = issuer.sign()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: exchange(registry, signed), range(6)))

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 5


def test_a_jwt_is_exchanged_once_whichever_replica_it_comes_to(
    tmp_path, parts, registry, ann, issuer
):
    """Another replica on the same database, in turn and at once."""
    trust(registry, ann, issuer)
    settings = registry.services.settings.model_dump(exclude={"data", *parts})
    data = registry.data if registry.services.database.is_embedded else tmp_path / "b"
    with AppClient(create_app(Settings(data=data, **settings, **parts))) as client:
        replicas = [registry, replace(registry, app=client.app, client=client)]
        used = issuer.sign()
        in_turn = [exchange(replica, used) for replica in replicas]
        rounds = []
        for _ in range(3):
            signed = issuer.sign()
            with ThreadPoolExecutor(6) as pool:
                asked = pool.map(exchange, replicas * 3, [signed] * 6)
                rounds.append(sorted(answer.status_code for answer in asked))

    assert [answer.status_code for answer in in_turn] == [200, 401]
    assert "was exchanged before" in in_turn[1].json()["detail"]
    assert rounds == [[200] + [401] * 5] * 3


def seconds_left(answer):
    ends = datetime.fromisoformat(answer.json()["expires_at"])
    return ends.timestamp() - time.time()


def test_without_a_jti_the_end_of_the_jwt_is_that_of_every_token(registry, ann, issuer):
    trust(registry, ann, issuer)
    claims = issuer.claims(jti=None)
    signed = issuer.sign(claims)

    answers = [exchange(registry, signed) for _ in range(2)]
    usual = exchange(registry, issuer.sign())

    for answer in answers:
        assert answer.status_code == 200
        ends = datetime.fromisoformat(answer.json()["expires_at"])
        assert ends.timestamp() == claims["exp"]
    assert seconds_left(usual) > 300


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param({"exp": 3601}, "it has no id (jti) and lives for 3601", id="long"),
        pytest.param({"iat": -3700, "exp": 60}, "no id (jti)", id="long-ago"),
        pytest.param({"iat": -60, "exp": -1}, "it has expired", id="just-over"),
    ],
)
def test_without_a_jti_a_jwt_is_short_lived_or_refused(
    registry, ann, issuer, changed, reason
):
    trust(registry, ann, issuer)
    at = int(time.time())
    times = {name: at + seconds for name, seconds in changed.items()}
    claims = issuer.claims(jti=None, **{"iat": at, **times})

    refused = exchange(registry, issuer.sign(claims))
    with_id = exchange(registry, issuer.sign({**claims, "jti": "of-this-one"}))

    assert (refused.status_code, slug(refused)) == (401, "identity-rejected")
    assert reason in refused.json()["detail"]
    assert with_id.status_code == 200


@pytest.mark.parametrize("how", ["publisher", "member"])
def test_trust_that_is_taken_back_ends_tokens_as_well(registry, ann, issuer, how):
    """The token still lets its account in, which has no role there any more."""
    trust(registry, ann, issuer, "vault")
    secret = exchange(registry, issuer.sign(), "vault").json()["token"]
    url = "/v1/namespaces/vault"
    before = registry.client.get(url, headers=bearer(secret))

    name = "publishers/release" if how == "publisher" else "members/vault:release"
    removed = registry.client.delete(f"{url}/{name}", headers=ann)

    assert (before.status_code, removed.status_code) == (200, 204)
    assert registry.client.get(url, headers=bearer(secret)).status_code == 404
    assert slug(exchange(registry, issuer.sign(), "vault")) == "identity-rejected"
    with registry.services.database.reading() as session:
        found = access_repository.list_publishers(session, "vault", after=None, limit=9)
    assert found == []


def test_trust_can_be_given_again(registry, ann, issuer):
    trust(registry, ann, issuer)
    registry.client.delete("/v1/namespaces/acme/publishers/release", headers=ann)

    assert trust(registry, ann, issuer).status_code == 201
    assert exchange(registry, issuer.sign()).status_code == 200


def test_a_refusal_tells_nothing_of_the_namespace(registry, ann, issuer):
    """Private with trust in others, or not there: all the same."""
    trust(registry, ann, issuer, "vault", claims={"repository": "vault/secret"})

    told = [
        exchange(registry, issuer.sign(), name).json()["detail"].replace(name, "NAME")
        for name in ("vault", "nowhere")
    ]

    assert told[0] == told[1]
    assert "secret" not in told[0]


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"issuer": "https://issuer.test"}, "/issuer"),
        ({"claims": {"ref": "refs/heads/main"}}, "/claims"),
        ({"claims": {}}, "/claims"),
        ({"claims": {"repository": ["a"]}}, None),
        ({"role": "owner"}, "/role"),
        ({"name": "a:b"}, None),
    ],
)
def test_trust_that_would_let_strangers_in_is_refused(
    registry, ann, issuer, wanted, pointer
):
    refused = trust(registry, ann, issuer, **wanted)

    assert (refused.status_code, slug(refused)) == (422, "invalid-request")
    if pointer is not None:
        assert refused.json()["errors"][0]["pointer"] == pointer


def test_a_name_is_trusted_once(registry, ann, issuer):
    trust(registry, ann, issuer)

    again = trust(registry, ann, issuer)

    assert (again.status_code, slug(again)) == (409, "name-taken")


def test_a_silent_issuer_is_told_as_passing(registry, ann, issuer):
    trust(registry, ann, issuer)
    issuer.silent = True
    try:
        refused = exchange(registry, issuer.sign())
    finally:
        issuer.silent = False

    assert (refused.status_code, slug(refused)) == (503, "issuer-unavailable")
    assert int(refused.headers["retry-after"]) > 0


def test_exchanges_are_limited_by_address(tmp_path, parts):
    settings = {**parts, "exchange_limit_per_minute": 2}
    with app_registry(tmp_path / "data", **settings) as registry:
        statuses = [exchange(registry, "x").status_code for _ in range(3)]

    assert statuses == [401, 401, 429]
