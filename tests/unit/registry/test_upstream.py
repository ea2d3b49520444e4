"""What a mirror reads of another registry: only as much as it was made for."""

from datetime import UTC, datetime, timedelta

import pytest
from safegene_registry.care.remote import RemoteVersion
from safegene_registry.care.upstream import MAX_ATTESTATIONS, Upstream
from support.scripted_server import json_reply, problem_reply, scripted_server

from safegene.artifact.digest import digest_bytes
from safegene.artifact.reference import VectorName

VERSION = RemoteVersion(VectorName("acme", "guard"), "1.0.0", "sha256:0", None, None)
NEWEST = datetime(2026, 11, 1, tzinfo=UTC)


def said(number):
    """The one that was posted so many hours before the newest."""
    at = NEWEST - timedelta(hours=number)
    digest = str(digest_bytes(str(number).encode()))
    return {"digest": digest, "posted_at": at.isoformat()}


@pytest.fixture
def asking():
    """The upstream of a server that answers as a test says."""
    nothing = problem_reply(404, "not-found", "none")
    with (
        scripted_server(lambda _: nothing) as server,
        Upstream(server.url, None, attempts=1) as upstream,
    ):
        yield upstream, server


def test_a_list_of_what_was_said_without_end_is_read_so_far_and_no_further(asking):
    """The newest ones of it, the oldest of these first."""
    upstream, server = asking

    def respond(got):
        at, size = int(got.query.get("cursor", "0")), int(got.query["limit"])
        items = [said(at + number) for number in range(size)]
        return json_reply({"items": items, "next_cursor": str(at + size)})

    server.respond = respond

    found = upstream.attestations(VERSION)

    assert len(found) == MAX_ATTESTATIONS
    assert found[-1].posted_at == NEWEST
    assert found[0].posted_at == NEWEST - timedelta(hours=MAX_ATTESTATIONS - 1)
    assert sum(int(got.query["limit"]) for got in server.requests) <= MAX_ATTESTATIONS


def test_an_older_registry_where_nothing_can_be_said_has_none(asking):
    upstream, _ = asking

    assert upstream.attestations(VERSION) == []
