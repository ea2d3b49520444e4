"""`Registry.search`: what is asked for, and what becomes of the pages."""

import pytest
from safegene_client import Evaluated
from support.scripted_server import json_reply
from support.summaries import SUMMARY

from safegene.errors import UsageError


def test_search_turns_the_pages(connect):
    def answer(got):
        page = int(got.query.get("cursor", "0"))
        count = min(2, int(got.query["limit"]))
        items = [SUMMARY | {"name": f"v{page}-{at}"} for at in range(count)]
        return json_reply({"items": items, "next_cursor": str(page + 1)})

    registry, server = connect(answer)

    found = registry.search("v", namespace="acme", limit=5)

    assert [item.name for item in found] == ["v0-0", "v0-1", "v1-0", "v1-1", "v2-0"]
    assert found[0].vector == "acme/v0-0"
    assert server.requests[0].query == {
        "query": "v",
        "namespace": "acme",
        "limit": "5",
    }


def test_what_an_evaluation_has_to_show_is_asked_by_the_interfaces_names(connect):
    """0 asks for something; what is not given asks for nothing."""
    registry, server = connect(lambda _: json_reply({"items": [], "next_cursor": None}))
    evaluated = Evaluated(j_at_least=0.0, harmful_samples=100, signed=True)

    registry.search(evaluated=evaluated, sort="j", limit=7)

    assert server.requests[0].query == {
        "j_at_least": "0.0",
        "harmful_samples": "100",
        "signed": "true",
        "sort": "j",
        "limit": "7",
    }


def test_a_vector_that_is_ranked_once_for_each_family_is_listed_once(connect):
    """At its best place, and the others do not count towards the limit."""
    pages = {"0": ["best", "other"], "1": ["best", "third"], "2": ["fourth"]}

    def answer(got):
        page = got.query.get("cursor", "0")
        items = [
            SUMMARY | {"name": name, "rank": int(page) + 1} for name in pages[page]
        ]
        following = None if page == "2" else str(int(page) + 1)
        return json_reply({"items": items, "next_cursor": following})

    registry, _ = connect(answer)

    found = registry.search(sort="j", limit=3)

    assert [(item.name, item.rank) for item in found] == [
        *(("best", 1), ("other", 1), ("third", 2))
    ]


def test_an_order_that_there_is_not_is_named_before_anything_is_asked(connect):
    registry, server = connect(lambda _: json_reply({}))

    with pytest.raises(UsageError, match="one of name, j, got size"):
        registry.search(sort="size")
    assert server.requests == []
