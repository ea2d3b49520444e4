"""Tokens over HTTP: one's own, never wider than the one that makes them; operators'."""

from dataclasses import replace
from datetime import timedelta

import pytest
from safegene_registry.access import Scope
from safegene_registry.limits import RateLimiter
from support.registry_app import app_registry, bearer
from support.versions import write_version


@pytest.fixture
def ann(registry):
    """Headers of an account's widest token; it owns the namespaces acme and beta."""
    headers = bearer(registry.token_of("ann", Scope.ADMIN))
    for name in ("acme", "beta"):
        registry.client.post("/v1/namespaces", json={"name": name}, headers=headers)
    return headers


@pytest.fixture
def ops(registry):
    """Headers of an operator."""
    return bearer(registry.token_of("ops", Scope.ADMIN, operator=True))


def make(registry, headers, url="/v1/tokens", **wanted):
    return registry.client.post(url, json={"name": "new", **wanted}, headers=headers)


def status_of(registry, secret, path="/v1/whoami"):
    return registry.client.get(path, headers=bearer(secret)).status_code


def test_a_secret_is_shown_once(registry, ann):
    made = make(registry, ann, scope="read", namespace="acme", lifetime_days=7)

    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    token = made.json()
    assert token["token"].startswith("sgt_")
    assert (token["scope"], token["namespace"]) == ("read", "acme")
    assert token["expires_at"] > token["created_at"]
    listed = registry.client.get("/v1/tokens", headers=ann)
    assert token["id"] in [item["id"] for item in listed.json()["items"]]
    assert token["token"] not in listed.text
    assert status_of(registry, token["token"]) == 200


@pytest.mark.parametrize(
    ("own", "wanted", "reason"),
    [
        ({"namespace": "acme"}, {}, "for acme makes only tokens for it"),
        ({"namespace": "acme"}, {"namespace": "beta"}, "makes only tokens for it"),
        ({"lifetime": timedelta(days=2)}, {}, "makes none that lives longer"),
        ({"lifetime": timedelta(days=2)}, {"lifetime_days": 3}, "none that lives"),
        ({"scope": Scope.PUBLISH}, {"scope": "read"}, "takes one of scope admin"),
    ],
)
def test_a_token_makes_none_that_opens_more(registry, ann, own, wanted, reason):
    headers = bearer(registry.token_of("ann", **{"scope": Scope.ADMIN, **own}))

    refused = make(registry, headers, **wanted)

    assert refused.status_code == 403
    assert reason in refused.json()["detail"]


def test_a_token_makes_one_that_opens_as_much(registry, ann):
    headers = bearer(
        registry.token_of(
            "ann", Scope.ADMIN, namespace="acme", lifetime=timedelta(days=2)
        )
    )

    made = make(registry, headers, scope="admin", namespace="acme", lifetime_days=1)

    assert made.status_code == 201


def test_a_token_for_a_hidden_namespace_is_one_for_none(registry, ann):
    registry.client.patch(
        "/v1/namespaces/acme", json={"visibility": "private"}, headers=ann
    )
    bob = bearer(registry.token_of("bob", Scope.ADMIN))

    hidden = make(registry, bob, namespace="acme")
    absent = make(registry, bob, namespace="nowhere")

    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert hidden.json()["detail"] == "There is no namespace acme."
    assert absent.json()["detail"] == "There is no namespace nowhere."


def test_a_token_ends_those_of_its_account_only(registry, ann):
    other = make(registry, ann).json()
    bob = bearer(registry.token_of("bob", Scope.ADMIN))
    url = f"/v1/tokens/{other['id']}"

    by_stranger = registry.client.delete(url, headers=bob)
    still = status_of(registry, other["token"])
    by_owner = registry.client.delete(url, headers=ann)
    again = registry.client.delete(url, headers=ann)

    assert (by_stranger.status_code, still) == (404, 200)
    assert (by_owner.status_code, again.status_code) == (204, 204)
    assert status_of(registry, other["token"]) == 401


def test_a_token_for_one_namespace_neither_lists_nor_ends_the_others(registry, ann):
    wide = make(registry, ann).json()
    narrow = bearer(registry.token_of("ann", Scope.ADMIN, namespace="acme"))

    listed = registry.client.get("/v1/tokens", headers=narrow).json()["items"]
    ended = registry.client.delete(f"/v1/tokens/{wide['id']}", headers=narrow)

    assert {item["namespace"] for item in listed} == {"acme"}
    assert ended.status_code == 404


def test_what_has_ended_is_listed_when_asked_for(registry, ann):
    gone = make(registry, ann).json()
    registry.client.delete(f"/v1/tokens/{gone['id']}", headers=ann)

    def listed(**params):
        found = registry.client.get("/v1/tokens", params=params, headers=ann).json()
        return {item["id"]: item["revoked_at"] for item in found["items"]}

    assert gone["id"] not in listed()
    assert listed(every=True)[gone["id"]] is not None


def test_pages_of_tokens_are_whole(registry, ann):
    made = {make(registry, ann).json()["id"] for _ in range(5)}
    seen, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = registry.client.get("/v1/tokens", params=params, headers=ann).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert len(seen) == len(set(seen)) == 6
    assert made < set(seen)


def test_operators_let_people_in_and_out(registry, ops):
    url = "/v1/accounts/carol/tokens"

    made = make(registry, ops, url, scope="read")
    listed = registry.client.get(url, headers=ops).json()["items"]
    ended = registry.client.delete(f"{url}/{made.json()['id']}", headers=ops)

    assert made.status_code == 201
    assert [item["id"] for item in listed] == [made.json()["id"]]
    assert ended.status_code == 204
    assert status_of(registry, made.json()["token"]) == 401


def test_operators_end_all_tokens_of_an_account_at_once(registry, ops):
    url = "/v1/accounts/erin/tokens"
    secrets = [make(registry, ops, url, scope="read").json()["token"] for _ in range(3)]
    before = [status_of(registry, secret) for secret in secrets]

    ended = [registry.client.delete(url, headers=ops).status_code for _ in range(2)]

    assert before == [200] * 3
    assert ended == [204, 204]
    assert [status_of(registry, secret) for secret in secrets] == [401] * 3
    assert registry.client.get(url, headers=ops).json()["items"] == []
    assert registry.client.get("/v1/whoami", headers=ops).status_code == 200
    unknown = registry.client.delete("/v1/accounts/nobody/tokens", headers=ops)
    assert unknown.status_code == 404


def test_operators_make_operators(registry, ops):
    url = "/v1/accounts/dave/tokens"
    plain = make(registry, ops, url, scope="admin").json()["token"]
    before = status_of(registry, plain, "/v1/accounts")

    make(registry, ops, url, operator=True)

    assert before == 403
    assert status_of(registry, plain, "/v1/accounts") == 200


@pytest.mark.parametrize("account", ["a/b", "acme:ci", " ", "é"])
def test_names_of_accounts_are_plain(registry, ops, account):
    refused = make(registry, ops, f"/v1/accounts/{account}/tokens")

    assert refused.status_code in (404, 422)


def test_whoami_tells_what_a_token_may_do(registry, ann):
    narrow = registry.token_of("ann", Scope.PUBLISH, namespace="acme")

    told = registry.client.get("/v1/whoami", headers=bearer(narrow)).json()

    assert (told["account"], told["operator"]) == ("ann", False)
    assert told["token"]["scope"] == "publish"
    assert told["roles"] == [{"namespace": "acme", "role": "owner"}]


def test_requests_beyond_the_limit_wait(tmp_path, parts):
    settings = {**parts, "rate_limit_per_minute": 3}
    with app_registry(tmp_path / "data", **settings) as registry:
        ann, bob = registry.token_of("ann"), registry.token_of("bob")
        statuses = [status_of(registry, ann) for _ in range(4)]
        refused = registry.client.get("/v1/vectors", headers=bearer(ann))
        anonymous = [registry.client.get("/v1/vectors").status_code for _ in range(4)]
        forgers = [status_of(registry, f"sgt_{number}") for number in range(2)]

        assert statuses == [200, 200, 200, 429]
        assert refused.json()["type"].endswith("/problems/rate-limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert status_of(registry, bob) == 200
        assert anonymous == [200, 200, 200, 429]
        # Tokens that are no good count for their address.
        assert forgers == [429, 429]
        assert registry.client.get("/healthz").status_code == 200


def test_every_way_to_read_what_is_public_is_limited(registry, tmp_path):
    """Those that are answered before the framework, too."""
    registry.publish(write_version(tmp_path / "v"), tmp_path / "v")
    vector = "/v1/vectors/acme/refusal"
    version = f"{vector}/versions/1.0.0"
    found = {}

    for path in (
        *("/v1/vectors", vector, f"{vector}/versions", f"{vector}/resolve", version),
        *(f"{version}/manifest", f"{version}/files/README.md", "/v1/namespaces"),
    ):
        registry.app.state.services = replace(registry.services, limiter=RateLimiter(1))
        answers = [registry.client.get(path) for _ in range(2)]
        found[path] = [answer.status_code for answer in answers]

    assert set(map(tuple, found.values())) == {(200, 429)}, found
