"""Searching by facts: every filter, in pages, over an index that has its order."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from safegene_registry import search_repository, summary_repository
from safegene_registry import walk_repository as walks
from support.plans import check_walk, plan_of, remembered
from support.registry_app import app_registry
from support.versions import llama_config, neox_config, write_version

from safegene.artifact.architecture import architecture_from_config

LLAMA = str(architecture_from_config(llama_config()).fingerprint)
VECTORS = {
    "acme/first": {},
    "acme/large": {"rank": 16},
    "acme/mit": {"licence": "MIT"},
    "acme/other": {"base_model": "other/llama"},
    "beta/deep": {"config": llama_config(layers=4)},
    "beta/neox": {"config": neox_config(), "base_model": "other/neox"},
}


@pytest.fixture(scope="module")
def stocked(tmp_path_factory, module_parts):
    root = tmp_path_factory.mktemp("stocked")
    with app_registry(root / "data", **module_parts) as registry:
        for number, (vector, facts) in enumerate(VECTORS.items()):
            place = root / str(number)
            manifest = write_version(place, vector=vector, seed=number, **facts)
            assert registry.publish(manifest, place).status_code == 201
        yield registry


def names(page):
    return [f"{item['namespace']}/{item['name']}" for item in page["items"]]


def search(registry, path="/v1/vectors", **filters):
    answer = registry.client.get(path, params=filters)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, sorted(VECTORS)),
        ({"family": "gpt_neox"}, ["beta/neox"]),
        ({"family": "bert"}, []),
        ({"layers": 4}, ["beta/deep"]),
        ({"rank": 16}, ["acme/large"]),
        ({"license": "MIT"}, ["acme/mit"]),
        ({"base_model": "other/llama"}, ["acme/other"]),
        (
            {"fingerprint": LLAMA, "rank": 8, "namespace": "acme", "license": "MIT"},
            ["acme/mit"],
        ),
        ({"family": "llama", "layers": 2, "query": "LARGE"}, ["acme/large"]),
        ({"family": "llama", "layers": 4, "rank": 16}, []),
        ({"namespace": "beta", "query": "gives"}, ["beta/deep", "beta/neox"]),
    ],
)
def test_all_filters_must_hold(stocked, filters, expected):
    assert names(search(stocked, **filters)) == expected


@pytest.mark.parametrize(
    "query", ["layers=0", "layers=x", "rank=99999999999999999999", f"family={'x' * 65}"]
)
def test_senseless_filters_are_refused(stocked, query):
    answer = stocked.client.get(f"/v1/vectors?{query}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("/query/")


def test_families_are_listed_by_type_and_size(stocked):
    whole = search(stocked, "/v1/architectures")
    llamas = search(stocked, "/v1/architectures", family="llama")

    assert [(item["model_type"], item["layers"]) for item in whole["items"]] == [
        ("gpt_neox", 2),
        ("llama", 2),
        ("llama", 4),
    ]
    assert llamas["items"] == whole["items"][1:]
    assert llamas["items"][0]["fingerprint"] == LLAMA


@pytest.mark.parametrize("path", ["/v1/vectors", "/v1/architectures"])
def test_lists_are_not_sent_twice(stocked, path):
    first = stocked.client.get(path)
    tag = {"If-None-Match": first.headers["etag"]}

    assert stocked.client.get(path, headers=tag).status_code == 304
    assert stocked.client.get(path, params={"limit": 1}, headers=tag).status_code == 200
    assert first.headers["cache-control"] == "public, no-cache"
    assert first.headers["vary"] == "Authorization"
    own = stocked.client.get(path, headers={**stocked.auth, **tag})
    assert own.headers["cache-control"] == "private, no-cache"


@pytest.fixture
def short_walks(monkeypatch):
    """As if two entries were many, also in statements that were made before."""
    monkeypatch.setattr(walks, "WALKED", 2)
    kept = (
        search_repository.vectors_query,
        summary_repository.page_lookup,
        summary_repository.beyond_lookup,
    )
    for statements in kept:
        statements.cache_clear()
    yield
    for statements in kept:
        statements.cache_clear()


def turned(registry, path="/v1/vectors", **filters):
    """Every page of a list."""
    pages, cursor = [], {}
    while cursor is not None:
        page = search(registry, path, **filters, **cursor)
        pages.append(page["items"])
        following = page["next_cursor"]
        cursor = None if following is None else {"cursor": following}
    return pages


@pytest.mark.usefixtures("short_walks")
@pytest.mark.parametrize(
    "filters", [{}, {"query": "neox"}, {"rank": 8}, {"license": "MIT", "rank": 16}]
)
def test_short_pages_lead_to_all_that_matches(stocked, filters):
    """Where a walk ends before the page is full, the next one goes on behind it."""
    whole = [
        item
        for page in turned(stocked)
        for item in page
        if filters.get("query", "") in item["name"]
        and item["rank"] == filters.get("rank", item["rank"])
        and item["license"] == filters.get("license", item["license"])
    ]

    pages = turned(stocked, **filters)

    assert [item for page in pages for item in page] == whole
    assert all(len(page) <= 2 for page in pages)
    assert len(pages) > 1 or "license" in filters


@pytest.mark.usefixtures("short_walks")
def test_a_cursor_names_nothing_that_its_asker_may_not_see(stocked, tmp_path):
    """Three private vectors come first; two of them are walked past unseen."""
    secrets = ("aaaa/one", "aaaa/two", "aaaa/zzz")
    for number, vector in enumerate(secrets):
        place = tmp_path / str(number)
        manifest = write_version(place, vector=vector, seed=90 + number)
        assert stocked.publish(manifest, place).status_code == 201
    owner = stocked.token_of("tests", "admin")
    path, headers = "/v1/namespaces/aaaa", {"Authorization": f"Bearer {owner}"}
    closed = stocked.client.patch(path, json={"visibility": "private"}, headers=headers)
    assert closed.status_code == 200, closed.text

    first = search(stocked)

    assert first["items"] == []
    assert json.loads(urlsafe_b64decode(first["next_cursor"])) == ["", "", "1"]
    seen = [item["name"] for page in turned(stocked) for item in page]
    assert seen == [v.partition("/")[2] for v in sorted(VECTORS)]
    mine = stocked.client.get("/v1/vectors", headers=headers).json()
    assert names(mine) == ["aaaa/one", "aaaa/two"]


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "ix_heads_namespace_name"),
        ({"fingerprint": LLAMA, "rank": 8}, "ix_heads_fingerprint_namespace_name"),
        ({"base_model": "x", "layers": 2}, "ix_heads_base_model_id_namespace_name"),
        ({"family": "llama", "query": "x"}, "ix_heads_model_type_namespace_name"),
        ({"layers": 2, "rank": 8}, "ix_heads_layers_namespace_name"),
        ({"license": "MIT"}, "ix_heads_license_namespace_name"),
        ({"rank": 8, "license": "MIT"}, "ix_heads_rank_namespace_name"),
    ],
)
def test_a_search_walks_one_index_in_its_order(stocked, filters, index):
    database = stocked.services.database
    after = json.dumps(["acme", "a"]).encode()
    cursor = urlsafe_b64encode(after).decode()
    with remembered(database, "walked") as statements:
        search(stocked, **filters, cursor=cursor)

    check_walk(database, plan_of(database, *statements[0]), index)
