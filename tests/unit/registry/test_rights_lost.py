"""What is taken from a publisher while the version is verified counts at its end."""

import threading
import time
from datetime import timedelta

import pytest
from safegene_registry.access import Role, Scope
from safegene_registry.admission import confirm_publishing
from safegene_registry.auth import authenticate
from sqlalchemy import text
from support.completions import SECONDS, GatedStore, look, wait, with_store
from support.registry_app import AppRegistry, Clock, app_registry, bearer
from support.versions import write_version

VERSION_URL = "/v1/vectors/acme/refusal/versions/1.0.0"


@pytest.fixture
def registry(tmp_path, parts):
    """Verifies everything in the background; bob publishes into ann's namespace."""
    settings = {**parts, "background_bytes": 0}
    with app_registry(tmp_path / "data", **settings) as running:
        ann = owner(running)
        running.client.post("/v1/namespaces", json={"name": "acme"}, headers=ann)
        running.token = running.token_of("bob")
        set_role(running, "bob", Role.PUBLISHER)
        yield running


def owner(registry: AppRegistry) -> dict[str, str]:
    return bearer(registry.token_of("ann", Scope.ADMIN))


def set_role(registry: AppRegistry, account: str, role: Role) -> None:
    url = f"/v1/namespaces/acme/members/{account}"
    body = {"role": role}
    set_ = registry.client.put(url, json=body, headers=owner(registry))
    assert set_.status_code == 200


def halted(registry: AppRegistry, tmp_path):
    """An upload of bob's whose verification waits at the gate, and the gate."""
    manifest = write_version(tmp_path / "v")
    upload = registry.send(manifest, tmp_path / "v")
    store = GatedStore(registry.services.store)
    with_store(registry, store)
    assert registry.complete(upload).status_code == 202
    assert store.reading.wait(SECONDS)
    return upload, store.gate


def revoke_own(registry: AppRegistry) -> None:
    url = "/v1/tokens/current"
    ended = registry.client.delete(url, headers=registry.auth)
    assert ended.status_code == 204
    # Somebody has to be able to look at the upload: by another token of the account.
    registry.token = registry.token_of("bob")


def revoke_all(registry: AppRegistry) -> None:
    ops = bearer(registry.token_of("ops", Scope.ADMIN, operator=True))
    url = "/v1/accounts/bob/tokens"
    for token in registry.client.get(url, headers=ops).json()["items"]:
        registry.client.delete(f"{url}/{token['id']}", headers=ops)
    registry.token = registry.token_of("bob")


def remove_member(registry: AppRegistry) -> None:
    url = "/v1/namespaces/acme/members/bob"
    removed = registry.client.delete(url, headers=owner(registry))
    assert removed.status_code == 204


@pytest.mark.parametrize(
    ("take", "slug", "reason"),
    [
        pytest.param(
            revoke_own, "authentication-required", "was revoked at", id="token"
        ),
        pytest.param(
            revoke_all, "authentication-required", "was revoked at", id="all-tokens"
        ),
        pytest.param(remove_member, "forbidden", "'bob' has no role", id="member"),
        pytest.param(
            lambda registry: set_role(registry, "bob", Role.READER),
            "forbidden",
            "'bob' has reader",
            id="role",
        ),
    ],
)
def test_a_version_does_not_appear_any_more(registry, tmp_path, take, slug, reason):
    upload, gate = halted(registry, tmp_path)

    take(registry)
    gate.set()
    assert registry.services.background.close(SECONDS) == set()

    assert registry.client.get(VERSION_URL).status_code == 404
    assert registry.final_blobs() == []
    if take in (revoke_own, revoke_all):
        problem = look(registry, upload)["problem"]
        assert problem["type"].endswith(f"/problems/{slug}")
        assert reason in problem["detail"]


def test_another_token_of_the_account_completes_it_all_the_same(registry, tmp_path):
    upload, gate = halted(registry, tmp_path)
    revoke_own(registry)
    gate.set()
    assert wait(registry, upload)["problem"]["status"] == 401

    again = registry.complete(upload)
    ended = wait(registry, upload)

    assert again.status_code == 202
    assert (ended["state"], ended["problem"]) == ("published", None)


def test_what_was_asked_for_before_a_token_expired_is_carried_out(registry, tmp_path):
    """A short-lived token must not fail a version for taking long to verify."""
    registry.token = registry.token_of("bob", lifetime=timedelta(minutes=5))
    upload, gate = halted(registry, tmp_path)
    clock = registry.put_clock(Clock())
    clock.ahead = timedelta(minutes=6)
    late = registry.client.get("/v1/whoami", headers=registry.auth)
    registry.token = registry.token_of("bob")

    gate.set()

    assert late.status_code == 401
    assert wait(registry, upload)["state"] == "published"


def waits_for_a_lock(registry: AppRegistry, thread: threading.Thread) -> None:
    """Return once the thread waits in the database, or has not had to."""
    if registry.services.database.is_embedded:
        # One transaction writes at a time: it can do nothing else.
        return
    query = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + SECONDS
    while thread.is_alive():
        assert time.monotonic() < deadline
        with registry.services.database.reading() as session:
            if session.scalar(query):
                return
        time.sleep(0.02)


@pytest.mark.parametrize("take", [revoke_own, remove_member], ids=["token", "member"])
def test_who_takes_rights_in_the_last_moment_is_answered_after_it(
    registry, tmp_path, take
):
    """Once they are told that it is done, nothing appears any more."""
    services, events = registry.services, []
    manifest = write_version(tmp_path / "v")

    def taking() -> None:
        take(registry)
        events.append("taken")

    thread = threading.Thread(target=taking)
    with services.database.writing() as session:
        caller = authenticate(session, registry.token, services.now())
        confirm_publishing(services, session, caller, manifest)
        thread.start()
        waits_for_a_lock(registry, thread)
        events.append("published")
    thread.join()

    assert events == ["published", "taken"]
