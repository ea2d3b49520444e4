"""Searching by what was measured: only evaluations that count, each by itself."""

import json
from base64 import urlsafe_b64encode

import pytest
from safegene_registry import search_repository, summary_repository
from safegene_registry import walk_repository as walks
from safegene_registry.access import Scope
from safegene_registry.models import Head
from sqlalchemy import select
from support.attestations import an_evaluation, calibration_of, enveloped
from support.plans import check_walk, plan_of, remembered
from support.registry_app import app_registry, bearer
from support.versions import llama_config, neox_config, write_version

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE
from safegene.artifact.attestation.keys import PrivateKey
from safegene.artifact.attestation.predicates import CalibrationMade

LLAMA = str(architecture_from_config(llama_config()).fingerprint)
VECTORS = {
    "acme/best": {},
    "acme/claimed": {},
    "acme/good": {},
    "acme/large": {},
    "acme/none": {},
    "beta/deep": {"config": neox_config()},
}
KEY = PrivateKey.generate()
SAID = {
    # Of few answers, so that its interval is wide.
    "acme/best": [("lab", an_evaluation(refused=38, over_refused=0, n=40))],
    "acme/claimed": [("rumour", an_evaluation(refused=400, over_refused=0, n=400))],
    "acme/good": [
        ("lab", an_evaluation(refused=90, over_refused=10)),
        ("lab", an_evaluation(refused=20, over_refused=0)),
        ("rumour", an_evaluation(refused=100, over_refused=0)),
    ],
    "acme/large": [("lab", an_evaluation(refused=900, over_refused=300, n=1000))],
    "beta/deep": [("other", an_evaluation(refused=80, over_refused=10))],
}
RANKED = ["best", "good", "deep", "large"]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory, module_parts):
    root = tmp_path_factory.mktemp("measured")
    with app_registry(root / "data", **module_parts) as registry:
        for number, (vector, facts) in enumerate(VECTORS.items()):
            fill(registry, root / str(number), vector, number, facts)
        owner = bearer(registry.token_of("tests", Scope.ADMIN))
        trust(registry, owner, "acme", "lab")
        trust(registry, owner, "beta", "other")
        yield registry


def fill(registry, place, vector, seed, facts):
    manifest = write_version(place, vector=vector, seed=seed, **facts)
    assert registry.publish(manifest, place).status_code == 201
    for account, said in SAID.get(vector, ()):
        key = KEY if vector == "acme/large" else None
        attest(registry, account, vector, enveloped(key, said, manifest.digest))


def attest(registry, account, vector, data, version="1.0.0", headers=None):
    headers = headers or bearer(registry.token_of(account))
    answer = registry.client.post(
        f"/v1/vectors/{vector}/versions/{version}/attestations",
        content=data,
        headers={**headers, "Content-Type": ENVELOPE_MEDIA_TYPE},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def trust(registry, owner, namespace, account):
    registry.token_of(account)
    answer = registry.client.put(
        f"/v1/namespaces/{namespace}/evaluators/{account}",
        json={"account": account},
        headers=owner,
    )
    assert answer.status_code == 200, answer.text


def search(registry, headers=None, **filters):
    answer = registry.client.get("/v1/vectors", params=filters, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(page):
    return [item["name"] for item in page["items"]]


FILTERS = {
    "any of so many answers": ({"harmful_samples": 1}, sorted(RANKED)),
    "many answers": ({"harmful_samples": 101}, ["large"]),
    "many harmless ones": ({"harmless_samples": 100}, ["good", "large", "deep"]),
    "J": ({"j_at_least": 0.65}, ["best", "good"]),
    "more J than any shows": ({"j_at_least": 0.95}, []),
    "harm": ({"harm_at_most": 0.13}, ["large"]),
    "over-refusal": ({"over_refusal_at_most": 0.1}, ["best", "good"]),
    # Either is shown by one of two evaluations, and both by neither.
    "parts of two": ({"over_refusal_at_most": 0.05, "j_at_least": 0.6}, []),
    "against": ({"against": "lookalike"}, sorted(RANKED)),
    "against others": ({"against": "dolly"}, []),
    "with a fact": ({"harmful_samples": 100, "family": "gpt_neox"}, ["deep"]),
    "with a namespace": ({"namespace": "beta", "j_at_least": 0.1}, ["deep"]),
    "with text": ({"query": "goo", "j_at_least": 0.1}, ["good"]),
}


@pytest.mark.parametrize(("filters", "expected"), FILTERS.values(), ids=FILTERS)
def test_one_evaluation_that_counts_has_to_show_it_all(stocked, filters, expected):
    """By the shorter way, by the route, and ranked."""
    alone = search(stocked, **filters)
    longer = search(stocked, stocked.auth, **filters)
    ranked = search(stocked, sort="j", **filters)

    by_name = sorted(expected, key=lambda name: (name == "deep", name))
    assert names(alone) == by_name
    assert longer == alone
    assert names(ranked) == [name for name in RANKED if name in expected]


def test_vectors_are_ranked_by_the_pessimistic_end_of_j(stocked):
    found = search(stocked, sort="j")["items"]

    assert [item["name"] for item in found] == RANKED
    ends = [item["evaluation"]["j"]["low"] for item in found]
    assert ends == sorted(ends, reverse=True)
    values = [item["evaluation"]["j"]["value"] for item in found]
    assert values != sorted(values, reverse=True) or ends[0] < values[0]


def test_a_list_says_what_the_best_evaluation_shows(stocked):
    items = {item["name"]: item for item in search(stocked)["items"]}

    assert items["none"]["evaluation"] is None
    # Who is not trusted only claims.
    assert items["claimed"]["evaluation"] is None
    best, expected = items["good"]["evaluation"], an_evaluation()
    assert tuple(best["j"].values()) == expected.J.numbers
    assert tuple(best["harm"].values()) == expected.harm.numbers
    assert tuple(best["over_refusal"].values()) == expected.over_refusal.numbers
    assert (best["harmful_samples"], best["harmless_samples"]) == (100, 100)
    assert (best["version"], best["trusted"]) == ("1.0.0", True)
    path = f"/v1/vectors/acme/good/versions/1.0.0/attestations/{best['digest']}"
    assert stocked.client.get(path).status_code == 200
    described = stocked.client.get("/v1/vectors/acme/good").json()
    assert described["evaluation"] == best


@pytest.mark.parametrize("walked", [2, walks.WALKED])
@pytest.mark.parametrize(
    "filters",
    [
        {"sort": "j"},
        {"sort": "j", "fingerprint": LLAMA},
        {"sort": "j", "namespace": "beta"},
        {"j_at_least": "0.1"},
        {"harmful_samples": "100", "layers": "2"},
    ],
    ids=str,
)
def test_pages_lead_to_all_of_them(stocked, filters, walked, monkeypatch):
    whole = names(search(stocked, **filters))
    monkeypatch.setattr(walks, "WALKED", walked)
    forget_statements()
    found, cursor = [], {}
    while cursor is not None:
        page = search(stocked, limit=1, **filters, **cursor)
        assert len(page["items"]) <= 1
        found += names(page)
        following = page["next_cursor"]
        cursor = None if following is None else {"cursor": following}
    forget_statements()

    assert found == whole
    assert whole


def forget_statements():
    """Those that say how many entries are walked."""
    for statements in (
        search_repository.vectors_query,
        summary_repository.page_lookup,
        summary_repository.beyond_lookup,
    ):
        statements.cache_clear()


@pytest.mark.parametrize(
    ("filters", "key", "index"),
    [
        ({"j_at_least": 0.5}, ["acme", "a"], "ix_heads_evaluated"),
        ({"harmful_samples": 9, "rank": 8}, ["acme", "a"], "ix_heads_evaluated"),
        ({"sort": "j"}, ["0.7", "acme", "a"], "ix_heads_ranked"),
        (
            {"sort": "j", "fingerprint": LLAMA},
            ["0.7", "acme", "a"],
            "ix_heads_fingerprint_ranked",
        ),
    ],
)
def test_it_walks_one_index_in_its_order(stocked, filters, key, index):
    database = stocked.services.database
    cursor = urlsafe_b64encode(json.dumps(key).encode()).decode()
    with remembered(database, "walked") as statements:
        search(stocked, **filters, cursor=cursor)

    check_walk(database, plan_of(database, *statements[0]), index)


@pytest.mark.parametrize(
    "query",
    [
        *("harmful_samples=0", "j_at_least=1", "j_at_least=nan", "harm_at_most=0"),
        *("over_refusal_at_most=x", "against=%2F", "signed=perhaps", "sort=size"),
    ],
)
def test_senseless_filters_are_refused(stocked, query):
    answer = stocked.client.get(f"/v1/vectors?{query}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("/query/")


@pytest.mark.parametrize("key", [["x", "a", "b"], ["nan", "a", "b"], ["a", "b"]])
def test_cursors_of_other_lists_are_refused(stocked, key):
    cursor = urlsafe_b64encode(json.dumps(key).encode()).decode()

    answer = stocked.client.get("/v1/vectors", params={"sort": "j", "cursor": cursor})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/cursor"


# What changes whose word counts, and about which version


@pytest.fixture
def guard(registry, tmp_path):
    """A vector with one version, nobody trusted, and its owner."""
    manifest = write_version(tmp_path / "one", vector="acme/guard")
    assert registry.publish(manifest, tmp_path / "one").status_code == 201
    return manifest, bearer(registry.token_of("tests", Scope.ADMIN))


def shown(registry):
    """What a search says of the only vector, and the search's tag."""
    answer = registry.client.get("/v1/vectors")
    (item,) = answer.json()["items"]
    ranked = search(registry, sort="j")["items"]
    assert [each["name"] for each in ranked] == ["guard"] * bool(item["evaluation"])
    best = item["evaluation"]
    return best and (best["version"], best["harmful_samples"]), answer.headers["etag"]


def test_trust_that_is_given_and_taken_changes_the_answer(registry, guard):
    manifest, owner = guard
    attest(
        registry, "lab", "acme/guard", enveloped(None, an_evaluation(), manifest.digest)
    )
    claimed, first = shown(registry)

    trust(registry, owner, "acme", "lab")
    counted, second = shown(registry)
    tag = {"If-None-Match": second}
    assert registry.client.get("/v1/vectors", headers=tag).status_code == 304
    gone = registry.client.delete("/v1/namespaces/acme/evaluators/lab", headers=owner)
    assert gone.status_code == 204

    assert (claimed, counted) == (None, ("1.0.0", 100))
    assert first != second
    assert shown(registry) == (None, first)
    assert search(registry, harmful_samples=1)["items"] == []


def test_what_is_posted_counts_at_once_and_the_best_is_shown(registry, guard):
    manifest, owner = guard
    trust(registry, owner, "acme", "lab")
    seen = []
    for said in (
        an_evaluation(refused=60, n=100),
        CalibrationMade(calibration=calibration_of(manifest.digest)),
        an_evaluation(refused=900, over_refused=100, n=1000),
        an_evaluation(refused=50, n=200),
    ):
        attest(registry, "lab", "acme/guard", enveloped(None, said, manifest.digest))
        seen.append(shown(registry))

    assert [best for best, _ in seen] == [
        *[("1.0.0", 100)] * 2,
        *[("1.0.0", 1000)] * 2,
    ]
    assert [tag for _, tag in seen] == [seen[0][1]] * 2 + [seen[2][1]] * 2
    assert seen[0][1] != seen[2][1]


def test_a_signature_that_is_asked_for_is_a_trusted_keys(registry, guard):
    manifest, owner = guard
    trust(registry, owner, "acme", "lab")
    said = enveloped(KEY, an_evaluation(), manifest.digest)
    attest(registry, "lab", "acme/guard", said)

    assert search(registry, signed=True)["items"] == []
    answer = registry.client.put(
        "/v1/namespaces/acme/evaluators/key",
        json={"public_key": KEY.public.pem},
        headers=owner,
    )
    assert answer.status_code == 200

    assert names(search(registry, signed=True)) == ["guard"]
    assert names(search(registry, signed=True, j_at_least=0.5)) == ["guard"]
    assert search(registry, signed=True, j_at_least=0.9)["items"] == []


def test_only_the_newest_version_counts_and_yanking_brings_back_the_older(
    registry, guard, tmp_path
):
    manifest, owner = guard
    trust(registry, owner, "acme", "lab")
    attest(
        registry, "lab", "acme/guard", enveloped(None, an_evaluation(), manifest.digest)
    )
    newer = write_version(
        tmp_path / "two", vector="acme/guard", version="2.0.0", seed=2
    )

    assert registry.publish(newer, tmp_path / "two").status_code == 201
    assert shown(registry)[0] is None
    answer = registry.client.put(
        "/v1/vectors/acme/guard/versions/2.0.0/yank",
        json={"reason": "worse"},
        headers=owner,
    )
    assert answer.status_code == 200, answer.text

    assert shown(registry)[0] == ("1.0.0", 100)
    with registry.services.database.reading() as session:
        (head,) = session.scalars(select(Head)).all()
        assert head.j_low == pytest.approx(an_evaluation().J.numbers[1])
