"""Tokens: what is made, what is kept, what is logged."""

import re

from safegene_registry import token_repository
from safegene_registry.auth import Scope, create_token, token_digest
from sqlalchemy import text
from support.registry_app import bearer


def test_a_token_is_long_random_and_kept_as_a_digest_only(registry):
    with registry.services.database.writing() as session:
        one = create_token(session, name="one", scope=Scope.PUBLISH)
        two = create_token(session, name="two", scope=Scope.ADMIN)

    with registry.services.database.reading() as session:
        kept = token_repository.find_token(session, token_digest(one))
    assert re.fullmatch(r"sgt_[A-Za-z0-9_-]{43}", one)
    assert one != two
    assert kept is not None
    assert (kept.name, kept.scope) == ("one", "publish")
    with registry.services.database.reading() as session:
        rows = [
            session.execute(text(f"SELECT * FROM {table}")).all()
            for table in ("tokens", "accounts")
        ]
    assert one.removeprefix("sgt_") not in repr(rows)


def test_a_token_that_is_not_ascii_is_unknown_not_an_error(registry):
    answer = registry.client.post(
        "/v1/uploads", headers={b"Authorization": "Bearer sgt_é".encode("latin-1")}
    )

    assert answer.status_code == 401


def test_reads_do_not_look_at_tokens(registry):
    assert registry.client.get("/v1/vectors").status_code == 200
    assert (
        registry.client.get("/v1/vectors", headers=bearer("sgt_wrong")).status_code
        == 200
    )
