"""Pages of every list there is, and answers that need not be sent twice."""

import base64
import json
from itertools import count

import pytest
from support.access_world import SETTINGS
from support.crowd import OWNER, ROOM, VECTOR, new_crowd
from support.registry_app import app_registry, bearer

LISTS = {
    "/v1/vectors": "name",
    "/v1/architectures": "fingerprint",
    f"/v1/vectors/{VECTOR}/versions": "version",
    f"/v1/vectors/{VECTOR}/aliases": "alias",
    f"/v1/vectors/{VECTOR}/aliases/stable/history": "number",
    f"/v1/vectors/{VECTOR}/advisories": "number",
    f"/v1/namespaces/{ROOM}/protected-aliases": "alias",
    "/v1/namespaces": "name",
    f"/v1/namespaces/{ROOM}/members": "account",
    f"/v1/namespaces/{ROOM}/publishers": "name",
    "/v1/tokens": "id",
    "/v1/accounts": "name",
    f"/v1/accounts/{OWNER}/tokens": "id",
}
"""Every list, and what tells its entries apart."""

ELSEWHERE = {
    "/v1/compatibility",
    "/v1/namespaces/{namespace}/webhooks",
    "/v1/namespaces/{namespace}/webhooks/{webhook_id}/dead-letters",
    "/v1/namespaces/{namespace}/policy/history",
    "/v1/namespaces/{namespace}/evaluators",
    "/v1/vectors/{namespace}/{name}/versions/{version}/approvals",
    "/v1/vectors/{namespace}/{name}/versions/{version}/attestations",
}
"""Those whose pages are turned in `test_matching`, `test_promotion`, and the tests of
webhooks and attestations."""

ROWS = 5
VERSION = f"/v1/vectors/{VECTOR}/versions/1.0.0"
NUMBERS = count(100)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory, module_parts):
    root = tmp_path_factory.mktemp("crowd")
    with app_registry(
        root / "data", public_url="https://gene.example/r", **SETTINGS, **module_parts
    ) as registry:
        made = new_crowd(registry, root)
        made.fill(range(1, 1 + ROWS))
        yield made


@pytest.fixture
def ask(crowd):
    """Ask as the operator; the response."""

    def get(url, **options):
        headers = {**bearer(crowd.token), **options.pop("headers", {})}
        return crowd.registry.client.get(url, headers=headers, **options)

    return get


def test_every_list_of_the_interface_is_here(crowd):
    document = crowd.registry.client.get("/openapi.json").json()
    lists = [
        path
        for path, operations in document["paths"].items()
        for parameter in operations.get("get", {}).get("parameters", ())
        if parameter["name"] == "cursor"
    ]

    assert set(lists) - ELSEWHERE == {template_of(url) for url in LISTS}
    for path in lists:
        link = document["paths"][path]["get"]["responses"]["200"]["headers"]["Link"]
        assert link["schema"] == {"type": "string"}


def template_of(url):
    """The path as the document has it."""
    return (
        url.replace(VECTOR, "{namespace}/{name}")
        .replace(f"/{ROOM}/", "/{namespace}/")
        .replace(f"/{OWNER}/", "/{account}/")
        .replace("/stable/", "/{alias}/")
    )


@pytest.mark.parametrize("url", LISTS)
def test_pages_are_stable_while_entries_come(crowd, ask, url):
    """Everything that was there at the beginning comes once, whatever came between."""
    key = LISTS[url]
    before = [item[key] for item in ask(url, params={"limit": 200}).json()["items"]]

    seen = []
    page = ask(url, params={"limit": 2}).json()
    while True:
        seen += [item[key] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 2
        crowd.fill([next(NUMBERS)] if len(seen) < 8 else [])
        page = ask(url, params={"limit": 2, "cursor": page["next_cursor"]}).json()

    assert len(before) >= ROWS
    assert len(set(seen)) == len(seen)
    assert [entry for entry in seen if entry in before] == before


@pytest.mark.parametrize("url", LISTS)
def test_a_link_leads_to_the_next_page(ask, url):
    first = ask(url, params={"limit": 2})
    address, _, relation = first.headers["link"].partition(">; ")
    base, _, query = address.removeprefix("<").partition("?")

    second = ask(f"{url}?{query}")

    assert base == f"https://gene.example/r{url}"
    assert relation == 'rel="next"'
    assert second.status_code == 200
    assert len(second.json()["items"]) == 2
    assert second.json()["items"] != first.json()["items"]
    assert "link" not in ask(url, params={"limit": 200}).headers


def cursor(*key):
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


BAD_CURSORS = [
    *("x", "!!!!", "W10=", "é", "////", "", cursor(1), cursor("a", "b", "c")),
    *(cursor("\ud800"), cursor("a\0"), cursor("a\0", "b"), cursor("\ud800", "b")),
]
NO_ID = "00000000-0000-0000-0000-000000000000"
BAD_TIMES = [
    cursor("now", NO_ID),
    cursor("2026-01-01T00:00:00", NO_ID),
    cursor("0001-01-01T00:00:00+14:00", NO_ID),
    cursor("2026-01-01T00:00:00+00:00", "no-id"),
]


@pytest.mark.parametrize("url", LISTS)
def test_a_foreign_cursor_is_a_problem_on_every_list(ask, url):
    bad_here = BAD_TIMES if url.endswith("/versions") else []
    answers = {
        bad: ask(url, params={"cursor": bad}) for bad in (*BAD_CURSORS, *bad_here)
    }

    for bad, answer in answers.items():
        assert answer.status_code == 422, bad
        assert answer.json()["type"].endswith("/problems/invalid-request")
        assert answer.json()["errors"][0]["pointer"] == "/query/cursor"


@pytest.mark.parametrize("url", LISTS)
def test_a_page_of_a_senseless_size_is_a_problem(ask, url):
    for limit in ("0", "201", "-1", "many", "1e2"):
        answer = ask(url, params={"limit": limit})

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/query/limit"


def test_a_vector_shows_its_last_versions_and_links_to_the_rest(crowd, ask):
    crowd.fill(next(NUMBERS) for _ in range(50))

    found = ask(f"/v1/vectors/{VECTOR}")

    detail = found.json()
    rest = ask(
        f"/v1/vectors/{VECTOR}/versions",
        params={"cursor": detail["next_cursor"], "limit": 200},
    ).json()
    numbers = [entry["version"] for entry in detail["versions"]]
    assert len(numbers) == 50
    assert numbers[0] == detail["latest"]["version"]
    assert rest["items"][-1]["version"] == "1.0.0"
    assert len(numbers) + len(rest["items"]) == detail["version_count"]
    assert f"/versions?cursor={detail['next_cursor']}".rstrip("=") in (
        found.headers["link"].replace("%3D", "=")
    )


TAGGED = [
    f"/v1/vectors/{VECTOR}",
    VERSION,
    f"/v1/vectors/{VECTOR}/resolve?constraint=%3D%3D1.0.0",
]
IMMUTABLE = [f"{VERSION}/manifest", f"{VERSION}/files/README.md"]


@pytest.mark.parametrize("url", [*TAGGED, *IMMUTABLE])
def test_an_answer_that_is_known_is_not_sent_again(crowd, ask, url):
    first = ask(url)
    etag = first.headers["etag"]
    if "/files/" in url:  # may come from a bucket, which has tags of its own
        etag = crowd.registry.client.head(url, headers=bearer(crowd.token)).headers[
            "etag"
        ]

    known = [
        ask(url, headers={"If-None-Match": condition})
        for condition in (etag, f"W/{etag}", f'"x", {etag}', "*")
    ]
    unknown = ask(url, headers={"If-None-Match": '"sha256:0"'})

    for answer in known:
        assert answer.status_code == 304
        assert answer.content == b""
        assert answer.headers["etag"] == etag
        assert answer.headers["cache-control"] == first.headers["cache-control"]
    assert unknown.status_code == 200
    assert unknown.content == first.content


def test_a_tag_changes_when_the_answer_does(crowd, ask):
    url = f"/v1/vectors/{VECTOR}/resolve"
    before = ask(url).headers["etag"]
    crowd.fill([next(NUMBERS)])

    after = ask(url, headers={"If-None-Match": before})

    assert after.status_code == 200
    assert after.headers["etag"] != before


@pytest.mark.parametrize("visibility", ["public", "private"])
def test_caches_may_share_what_is_public_and_nothing_else(crowd, ask, visibility):
    room = f"/v1/namespaces/{ROOM}"
    crowd.registry.client.patch(
        room, json={"visibility": visibility}, headers=bearer(crowd.token)
    )

    told = {url: ask(url).headers["cache-control"] for url in (*TAGGED, *IMMUTABLE)}
    others = {url: ask(url).headers for url in (*LISTS, room, "/v1/whoami")}
    refused = crowd.registry.client.get("/v1/vectors/nobody/nothing")

    for url in TAGGED:
        assert told[url] == f"{visibility}, no-cache"
    for url in IMMUTABLE:
        assert told[url] == f"{visibility}, max-age=31536000, immutable"
    for headers in others.values():
        assert headers["cache-control"] == "private, no-cache"
        assert headers["vary"] == "Authorization"
    assert refused.status_code == 404
    assert refused.headers["cache-control"] == "no-store"
