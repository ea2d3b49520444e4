"""Tokens: what is made, what is kept, what ends them, what is logged."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from safegene_registry import token_repository
from safegene_registry.access import Scope
from safegene_registry.auth import token_digest
from safegene_registry.usage import UsageRecorder
from sqlalchemy import event
from support.registry_app import Clock, bearer
from support.versions import write_version


def kept(registry, secret):
    with registry.services.database.reading() as session:
        return token_repository.find_token(session, token_digest(secret))


def ask(registry, secret, path="/v1/whoami"):
    return registry.client.get(path, headers=bearer(secret))


def test_a_token_is_long_random_and_kept_as_a_digest_only(registry):
    one = registry.token_of("one")
    two = registry.token_of("two", Scope.ADMIN, operator=True)

    token, account = kept(registry, one)

    assert re.fullmatch(r"sgt_[A-Za-z0-9_-]{43}", one)
    assert one != two
    assert (token.name, token.scope) == ("one", "publish")
    assert (account.name, account.is_admin) == ("one", False)
    assert kept(registry, two)[1].is_admin is True
    with registry.services.database.reading() as session:
        for row in token_repository.list_tokens(
            session, account=None, namespace=None, live_at=None, after=None, limit=9
        ):
            told = " ".join(str(value) for value in vars(row[0]).values())
            assert one.removeprefix("sgt_") not in told


def test_a_token_that_is_not_ascii_is_unknown_not_an_error(registry):
    answer = registry.client.post(
        "/v1/uploads", headers={b"Authorization": "Bearer sgt_é".encode("latin-1")}
    )

    assert answer.status_code == 401


def test_a_bad_token_is_told_even_where_none_is_needed(registry):
    """Else private vectors would be gone without a word once a token expires."""
    assert registry.client.get("/v1/vectors").status_code == 200

    refused = ask(registry, "sgt_wrong", "/v1/vectors")

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "sgt_wrong" not in refused.text


@pytest.mark.parametrize("path", ["/healthz", "/problems/forbidden", "/openapi.json"])
def test_what_everybody_may_is_not_asked_for_tokens(registry, path):
    assert ask(registry, "sgt_wrong", path).status_code == 200


def test_a_token_works_until_it_expires(registry):
    clock = Clock()
    registry.app.state.services = replace(registry.services, now=clock)
    secret = registry.token_of("ann", lifetime=timedelta(hours=1))
    before = ask(registry, secret)

    clock.ahead = timedelta(hours=1)
    after = ask(registry, secret)

    assert before.status_code == 200
    assert after.status_code == 401
    assert "'ann' expired at 20" in after.json()["detail"]


def test_a_revoked_token_works_no_longer_from_the_next_request_on(registry):
    secret = registry.token_of("ann")
    assert ask(registry, secret).status_code == 200

    ended = registry.client.delete("/v1/tokens/current", headers=bearer(secret))

    assert ended.status_code == 204
    refused = ask(registry, secret)
    assert refused.status_code == 401
    assert "'ann' was revoked at 20" in refused.json()["detail"]


def test_uses_are_written_together_and_never_back(registry):
    usage = UsageRecorder(registry.services.database)
    one, two = registry.token_of("one"), registry.token_of("two")
    noon = registry.services.now()
    for minutes in range(3):
        usage.note(kept(registry, one)[0].id, noon + timedelta(minutes=minutes))
    usage.note(kept(registry, two)[0].id, noon)
    assert kept(registry, one)[0].last_used_at is None

    usage.flush()
    usage.note(kept(registry, one)[0].id, noon)
    usage.flush()

    assert kept(registry, one)[0].last_used_at == noon + timedelta(minutes=2)
    assert kept(registry, two)[0].last_used_at == noon


def test_a_request_notes_the_use_of_its_token(registry):
    secret = registry.token_of("ann")

    ask(registry, secret)
    registry.services.usage.flush()

    assert kept(registry, secret)[0].last_used_at is not None


@pytest.mark.parametrize(("holder", "count"), [(None, 1), ("ann", 6)])
def test_a_guard_costs_a_statement_and_a_token_another(
    registry, tmp_path, holder, count
):
    """One for the namespace, two for what is asked and two for what is said of it.

    For all that is public, one.
    """
    registry.publish(write_version(tmp_path / "v"), tmp_path / "v")
    headers = bearer(registry.token_of(holder)) if holder else {}
    statements = []
    engine = registry.services.database.engine
    event.listen(
        engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )

    url = "/v1/vectors/acme/refusal/versions/1.0.0"
    answer = registry.client.get(url, headers=headers)

    assert answer.status_code == 200
    asked = [text for text in statements if text.startswith("SELECT")]
    assert len(asked) == count


def test_the_log_names_who_was_let_in_and_never_the_secret(registry, caplog):
    caplog.set_level("INFO")
    secret = registry.token_of("ann")

    ask(registry, secret)

    served = [r.msg for r in caplog.records if "request_served" in str(r.msg)]
    assert str(kept(registry, secret)[0].id) in str(served)
    assert secret not in caplog.text
