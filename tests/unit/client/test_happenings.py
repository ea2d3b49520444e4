"""Following events misses none, page by page and while the registry is away."""

from itertools import islice

from support.scripted_server import json_reply, problem_reply

EVENTS = 5
PER_PAGE = 2
AWAY = 5
"""More requests than one question is tried again."""


def event(position):
    return {
        "namespace": "acme",
        "position": position,
        "kind": "of.the-future",
        "at": "2026-11-27T00:00:00Z",
        "vector": None,
        "version": None,
        "details": {"grown": True},
        "actor": None,
        "token_id": None,
        "previous": None,
        "digest": f"sha256:{position:064}",
    }


def feed(got):
    after = int(got.query["after"])
    last = min(after + PER_PAGE, EVENTS)
    items = [event(position) for position in range(after + 1, last + 1)]
    return json_reply({"items": items, "last": last, "more": last < EVENTS})


def test_pages_join_from_where_one_has_got_to(connect):
    registry, server = connect(feed)

    page = registry.events("acme", after=1)

    assert [each.position for each in page.items] == [2, 3, 4, 5]
    assert (page.last, page.more) == (5, False)
    assert [got.query["after"] for got in server.requests] == ["1", "3"]


def test_who_follows_misses_nothing_while_the_registry_is_away(connect):
    left = AWAY

    def respond(got):
        nonlocal left
        if left and got.query["after"] == "2":
            left -= 1
            return problem_reply(503, "storage-unavailable", "Full.", Retry_After="0")
        return feed(got)

    registry, server = connect(respond)
    found = registry.follow_events("acme", pause=0.01)

    assert [each.position for each in islice(found, EVENTS)] == [1, 2, 3, 4, 5]
    assert left == 0
    assert len(server.requests) > AWAY
