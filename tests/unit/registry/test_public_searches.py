"""Searches without a token: the shorter way says what the longer one says."""

import pytest
from safegene_registry import membership
from safegene_registry.access import Visibility
from support.plans import check_walk, plan_of, remembered
from support.registry_app import app_registry
from support.versions import llama_config, neox_config, write_version

WIDE = llama_config(hidden=64)
VERSIONS = (
    ("acme/one", "1.0.0", {}),
    # Of two families, the newest neither first nor last.
    ("acme/two", "1.2.0", {}),
    ("acme/two", "1.10.0", {"config": WIDE, "rank": 16}),
    ("acme/two", "1.9.0", {}),
    ("beta/neox", "1.0.0", {"config": neox_config(), "base_model": "other/neox"}),
    ("beta/tiny", "2.0.0rc1", {"rank": 16, "licence": "MIT"}),
)
FOUND = {
    "everything": ("", 4),
    "a page": ("?limit=1", 1),
    "two families, one vector": ("?namespace=acme", 2),
    "a page between two families": ("?namespace=acme&limit=2", 2),
    "family": ("?family=gpt_neox", 1),
    "rank": ("?rank=16", 2),
    "rank and licence": ("?rank=16&license=MIT", 1),
    "base model": ("?base_model=other%2Fneox&layers=2", 1),
    "text": ("?query=TWO", 1),
    "nothing": ("?family=bert", 0),
}
LEFT = {
    "senseless": (422, "?layers=0"),
    "twice": (200, "?rank=16&rank=8"),
    "unknown": (200, "?colour=red"),
    "no cursor": (422, "?cursor=x"),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory, module_parts):
    root = tmp_path_factory.mktemp("served")
    with app_registry(root / "data", **module_parts) as registry:
        for seed, (vector, version, facts) in enumerate(VERSIONS):
            place = root / str(seed)
            manifest = write_version(
                place, vector=vector, version=version, seed=seed, **facts
            )
            assert registry.publish(manifest, place).status_code == 201
        yield registry


def told(answer):
    names = ("etag", "link", "vary", "content-type")
    return [answer.status_code, answer.content, *map(answer.headers.get, names)]


@pytest.mark.parametrize(("query", "count"), FOUND.values(), ids=FOUND)
def test_one_statement_says_what_the_route_says(served, query, count):
    database, path = served.services.database, f"/v1/vectors{query}"
    with remembered(database, "SELECT") as selects:
        shorter = served.client.get(path)
    longer = served.client.get(path, headers=served.auth)

    assert told(shorter) == told(longer)
    items = shorter.json()["items"]
    assert len({item["name"] for item in items}) == len(items)
    assert len(items) == count
    # Where the page is not full: whether there is more to look through.
    assert len(selects) == (1 if "next" in shorter.links else 2)
    assert shorter.headers["cache-control"] == "public, no-cache"


def test_a_vector_is_described_by_the_newest_of_its_families(served):
    (found,) = served.client.get("/v1/vectors?query=two").json()["items"]

    assert found["latest"]["version"] == "1.10.0"
    assert (found["rank"], found["version_count"]) == (16, 3)
    assert found["architecture"]["hidden_size"] == 64


def test_pages_lead_to_all_of_them(served):
    names, query = [], "limit=1"
    while query is not None:
        answer = served.client.get(f"/v1/vectors?{query}")
        names += [item["name"] for item in answer.json()["items"]]
        query = answer.links["next"]["url"].partition("?")[2] if answer.links else None

    assert names == ["one", "two", "neox", "tiny"]


@pytest.mark.parametrize(("status", "query"), LEFT.values(), ids=LEFT)
def test_what_it_does_not_know_is_left_to_the_route(served, status, query):
    path = f"/v1/vectors{query}"
    alone = served.client.get(path)
    longer = served.client.get(path, headers=served.auth)

    assert (alone.status_code, longer.status_code) == (status, status)
    if status == 200:
        assert alone.content == longer.content


def test_other_values_take_the_same_statement(served):
    with remembered(served.services.database, "walked") as selects:
        for rank in (16, 8):
            served.client.get(f"/v1/vectors?rank={rank}&limit=1")

    assert len({text for text, _ in selects}) == 1


def test_it_walks_one_index(served):
    database = served.services.database
    with remembered(database, "walked") as selects:
        served.client.get("/v1/vectors?family=llama&rank=8&limit=1")

    statement, values = selects[0]
    told = tuple(values) if database.is_embedded else values
    plan = plan_of(database, statement, told)
    check_walk(database, plan, "ix_heads_rank_namespace_name")


def test_nothing_is_found_that_is_private(registry, tmp_path):
    for number, vector in enumerate(("acme/one", "beta/two")):
        manifest = write_version(tmp_path / str(number), vector=vector, seed=number)
        answer = registry.publish(manifest, tmp_path / str(number))
        assert answer.status_code == 201
    with registry.services.database.writing() as session:
        membership.set_visibility(session, "acme", Visibility.PRIVATE, by="tests")

    for query in ("", "?limit=1", "?namespace=acme", "?rank=8"):
        found = registry.client.get(f"/v1/vectors{query}").json()["items"]
        assert all(item["namespace"] == "beta" for item in found)
    assert [item["name"] for item in registry.client.get("/v1/vectors").json()["items"]]
