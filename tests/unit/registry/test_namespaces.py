"""Namespaces over HTTP: members, visibility, quotas, who may make them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from safegene_registry.access import Role, Scope
from support.registry_app import MANIFEST_MEDIA_TYPE, app_registry, bearer
from support.versions import write_version


def slug(response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["type"].rpartition("/")[2]


@pytest.fixture
def ann(registry):
    """Headers of an account that owns the namespace acme."""
    headers = bearer(registry.token_of("ann", Scope.ADMIN))
    made = registry.client.post(
        "/v1/namespaces", json={"name": "acme"}, headers=headers
    )
    assert made.status_code == 201
    return headers


@pytest.fixture
def ops(registry):
    """Headers of an operator."""
    return bearer(registry.token_of("ops", Scope.ADMIN, operator=True))


def members(registry, headers):
    found = registry.client.get("/v1/namespaces/acme/members", headers=headers).json()
    return {member["account"]: member["role"] for member in found["items"]}


def put_member(registry, headers, account, role):
    url = f"/v1/namespaces/acme/members/{account}"
    return registry.client.put(url, json={"role": role}, headers=headers)


def test_who_makes_a_namespace_owns_it(registry, ann):
    assert members(registry, ann) == {"ann": "owner"}
    whoami = registry.client.get("/v1/whoami", headers=ann).json()
    assert whoami["roles"] == [{"namespace": "acme", "role": "owner"}]


def test_who_publishes_first_into_a_namespace_owns_it(registry, tmp_path):
    registry.publish(write_version(tmp_path / "v"), tmp_path / "v")

    other = registry.token_of("other")
    refused = registry.client.post(
        "/v1/uploads",
        content=write_version(tmp_path / "w", version="2.0.0").to_bytes(),
        headers={**bearer(other), "Content-Type": MANIFEST_MEDIA_TYPE},
    )

    assert refused.status_code == 403
    assert slug(refused) == "forbidden"
    assert "'other' has no role in acme; this takes publisher" in refused.text


@pytest.mark.parametrize("role", Role)
def test_a_role_is_given_changed_and_taken(registry, ann, role):
    bob = bearer(registry.token_of("bob", Scope.ADMIN))
    registry.client.patch(
        "/v1/namespaces/acme", json={"visibility": "private"}, headers=ann
    )
    before = registry.client.get("/v1/namespaces/acme", headers=bob)

    given = put_member(registry, ann, "bob", role)
    during = registry.client.get("/v1/namespaces/acme", headers=bob)
    managing = registry.client.get("/v1/namespaces/acme/members", headers=bob)
    taken = registry.client.delete("/v1/namespaces/acme/members/bob", headers=ann)
    after = registry.client.get("/v1/namespaces/acme", headers=bob)

    assert given.json() == {"account": "bob", "kind": "user", "role": role}
    assert (before.status_code, during.status_code) == (404, 200)
    assert managing.status_code == (200 if role is Role.OWNER else 403)
    assert (taken.status_code, after.status_code) == (204, 404)
    assert members(registry, ann) == {"ann": "owner"}


def test_only_accounts_that_are_there_become_members(registry, ann):
    refused = put_member(registry, ann, "nobody", "reader")

    assert refused.status_code == 404
    assert slug(refused) == "not-found"
    assert members(registry, ann) == {"ann": "owner"}


def test_a_namespace_keeps_an_owner(registry, ann, ops):
    lowered = put_member(registry, ann, "ann", "publisher")
    removed = registry.client.delete("/v1/namespaces/acme/members/ann", headers=ops)

    assert (slug(lowered), slug(removed)) == ("owner-required", "owner-required")
    assert members(registry, ann) == {"ann": "owner"}


def test_of_two_owners_who_leave_at_once_one_stays(registry, ann):
    registry.token_of("bob")
    put_member(registry, ann, "bob", "owner")
    ops = bearer(registry.token_of("ops", Scope.ADMIN, operator=True))

    def remove(account):
        url = f"/v1/namespaces/acme/members/{account}"
        return registry.client.delete(url, headers=ops).status_code

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(remove, ["ann", "bob"]))

    assert statuses == [204, 409]
    assert len(members(registry, ops)) == 1


def test_a_taken_name_is_told_to_who_may_make_namespaces(registry, ann):
    bob = bearer(registry.token_of("bob"))
    registry.client.patch(
        "/v1/namespaces/acme", json={"visibility": "private"}, headers=ann
    )

    refused = registry.client.post("/v1/namespaces", json={"name": "acme"}, headers=bob)

    assert (refused.status_code, slug(refused)) == (409, "name-taken")


@pytest.mark.parametrize("name", ["Acme", "a/b", "..", "", "x" * 65])
def test_a_malformed_name_is_refused(registry, ann, name):
    made = registry.client.post("/v1/namespaces", json={"name": name}, headers=ann)
    looked = registry.client.get(f"/v1/namespaces/{name or '%20'}")

    assert made.status_code == 422
    assert looked.status_code in (404, 422)


def test_namespaces_may_be_left_to_operators(tmp_path, parts):
    settings = {**parts, "namespace_creation": "operators"}
    with app_registry(tmp_path / "data", **settings) as registry:
        ops = bearer(registry.token_of("ops", Scope.ADMIN, operator=True))
        manifest = write_version(tmp_path / "v")
        made = registry.client.post(
            "/v1/namespaces", json={"name": "acme"}, headers=registry.auth
        )
        published = registry.open_upload(manifest.to_bytes())

        by_operator = registry.client.post(
            "/v1/namespaces", json={"name": "acme"}, headers=ops
        )
        given = put_member(registry, ops, "tests", "publisher")

        assert (made.status_code, published.status_code) == (403, 404)
        assert (by_operator.status_code, given.status_code) == (201, 200)
        assert registry.publish(manifest, tmp_path / "v").status_code == 201


def test_pages_of_namespaces_and_members_are_whole(registry, ann, ops):
    names = [f"n{number}" for number in range(5)]
    for name in names:
        registry.token_of(name)
        put_member(registry, ann, name, "reader")
        made = {"name": name}
        registry.client.post("/v1/namespaces", json=made, headers=ann)

    def walk(url, key):
        found, cursor = [], None
        while True:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = registry.client.get(url, params=params, headers=ops).json()
            found += [item[key] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    assert walk("/v1/namespaces", "name") == ["acme", *names]
    assert walk("/v1/namespaces/acme/members", "account") == ["ann", *names]
    accounts = walk("/v1/accounts", "name")
    assert accounts == sorted(["ann", "ops", "tests", *names])


def set_quota(registry, headers, quota):
    url = "/v1/namespaces/acme/quota"
    return registry.client.put(url, json={"quota_bytes": quota}, headers=headers)


def test_a_full_namespace_takes_nothing_more(registry, tmp_path, ops):
    one = write_version(tmp_path / "one", seed=1)
    two = write_version(tmp_path / "two", seed=2, version="2.0.0")
    registry.publish(one, tmp_path / "one")
    limit = one.size_bytes + two.size_bytes - 1
    set_quota(registry, ops, limit)

    refused = registry.open_upload(two.to_bytes())

    assert (refused.status_code, slug(refused)) == (413, "quota-exceeded")
    body = refused.json()
    assert body["used_bytes"] == one.size_bytes
    assert body["limit_bytes"] == limit
    assert body["wanted_bytes"] == two.size_bytes
    for number in (one.size_bytes, limit, two.size_bytes):
        assert str(number) in body["detail"]
    shown = registry.client.get("/v1/namespaces/acme").json()
    assert (shown["used_bytes"], shown["quota_bytes"]) == (one.size_bytes, limit)
    # What is there already is there.
    assert registry.open_upload(one.to_bytes()).status_code == 200
    set_quota(registry, ops, limit + 1)
    assert registry.publish(two, tmp_path / "two").status_code == 201


def test_new_namespaces_start_with_the_quota_of_the_settings(tmp_path, parts):
    one = write_version(tmp_path / "one")
    settings = {**parts, "namespace_quota_bytes": one.size_bytes}
    with app_registry(tmp_path / "data", **settings) as registry:
        registry.publish(one, tmp_path / "one")

        two = write_version(tmp_path / "two", version="2.0.0")
        refused = registry.open_upload(two.to_bytes())
        other = write_version(tmp_path / "big", vector="other/big", rank=16)
        refused_at_once = registry.open_upload(other.to_bytes())

        assert slug(refused) == slug(refused_at_once) == "quota-exceeded"
        shown = registry.client.get("/v1/namespaces/acme").json()
        assert shown["quota_bytes"] == one.size_bytes


def test_a_body_that_is_no_blob_has_a_limit_with_put_as_well(tmp_path):
    with app_registry(tmp_path / "data", max_request_bytes=100) as registry:
        ops = bearer(registry.token_of("ops", Scope.ADMIN, operator=True))

        refused = registry.client.put(
            "/v1/namespaces/acme/quota", content=b" " * 101, headers=ops
        )

        assert (refused.status_code, slug(refused)) == (413, "payload-too-large")


def test_changes_and_refusals_are_told_in_the_log(registry, ann, caplog):
    caplog.set_level("INFO")
    registry.token_of("bob")
    put_member(registry, ann, "bob", "reader")
    put_member(registry, bearer(registry.token_of("eve")), "eve", "owner")

    events = {r.msg["event"]: r.msg for r in caplog.records if isinstance(r.msg, dict)}

    assert events["member_set"]["account"] == "bob"
    assert events["member_set"]["role"] == "reader"
    assert events["member_set"]["by"]
    assert events["access_refused"]["action"] == "manage"
    assert events["access_refused"]["reason"] == "lacks-role"
    assert events["access_refused"]["principal_id"]
