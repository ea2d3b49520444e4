"""Search, description and resolution."""

import pytest
from support.plans import check_index_only, plan_of, remembered
from support.registry_app import app_registry
from support.versions import llama_config, neox_config, write_version

VERSIONS = ("1.0.0", "1.2.0", "1.10.0", "2.0.0rc1")


@pytest.fixture(scope="module")
def stocked(tmp_path_factory, module_parts):
    """Several vectors; `acme/refusal` in several versions."""
    root = tmp_path_factory.mktemp("stocked")
    with app_registry(root / "data", **module_parts) as registry:

        def add(vector, version="1.0.0", description="Words.", **facts):
            facts["description"] = description
            place = root / f"{vector.replace('/', '-')}-{version}"
            manifest = write_version(place, vector=vector, version=version, **facts)
            response = registry.publish(manifest, place)
            assert response.status_code == 201, response.text
            return manifest

        manifests = {
            version: add("acme/refusal", version, seed=number)
            for number, version in enumerate(VERSIONS)
        }
        add("acme/percent_off", description="100% of_it")
        add("beta/neox", config=neox_config(), base_model="beta/neox")
        add("beta/wide", config=llama_config(hidden=64))
        add("only/pre", "1.0.0rc1")
        yield registry, manifests


def names(registry, **params):
    answer = registry.client.get("/v1/vectors", params=params)
    assert answer.status_code == 200, answer.text
    return [f"{v['namespace']}/{v['name']}" for v in answer.json()["items"]]


ALL = ["acme/percent_off", "acme/refusal", "beta/neox", "beta/wide", "only/pre"]


def test_search_without_filters_lists_all_by_name(stocked):
    registry, _ = stocked

    assert names(registry) == ALL


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param({"query": "REFUS"}, ["acme/refusal"], id="name, any case"),
        pytest.param({"query": "bet"}, ["beta/neox", "beta/wide"], id="namespace"),
        pytest.param({"query": "100% of_"}, ["acme/percent_off"], id="description"),
        pytest.param({"query": "%"}, ["acme/percent_off"], id="percent is no wildcard"),
        pytest.param({"query": "_"}, ["acme/percent_off"], id="_ is no wildcard"),
        pytest.param({"query": "/"}, [], id="escape sign"),
        pytest.param({"query": "' OR 1=1 --"}, [], id="no SQL"),
        pytest.param({"namespace": "beta"}, ["beta/neox", "beta/wide"], id="in one"),
        pytest.param({"namespace": "bet"}, [], id="whole namespaces only"),
        pytest.param({"base_model": "beta/neox"}, ["beta/neox"], id="base model"),
        pytest.param({"namespace": "acme", "query": "neox"}, [], id="both must hold"),
    ],
)
def test_search_filters(stocked, params, expected):
    registry, _ = stocked

    assert names(registry, **params) == expected


def test_search_by_fingerprint(stocked):
    registry, manifests = stocked
    fingerprint = str(manifests["1.0.0"].architecture.fingerprint)

    found = names(registry, fingerprint=fingerprint)

    assert found == ["acme/percent_off", "acme/refusal", "only/pre"]


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_pages_follow_each_other_without_gaps(stocked, limit):
    registry, _ = stocked
    seen: list[str] = []
    params = {"limit": limit}

    while True:
        page = registry.client.get("/v1/vectors", params=params).json()
        seen += [f"{v['namespace']}/{v['name']}" for v in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == limit
        params["cursor"] = page["next_cursor"]

    assert seen == ALL


@pytest.mark.parametrize("cursor", ["x", "!!!!", "W10=", "WzEsMl0=", "é", "////"])
def test_a_foreign_cursor_is_refused(stocked, cursor):
    registry, _ = stocked

    answer = registry.client.get("/v1/vectors", params={"cursor": cursor})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/cursor"


def test_a_summary_describes_the_newest_version(stocked):
    registry, manifests = stocked

    page = registry.client.get("/v1/vectors", params={"query": "refusal"}).json()

    newest = manifests["1.10.0"]
    assert page["items"] == [
        {
            "namespace": "acme",
            "name": "refusal",
            "description": newest.description,
            "license": "Apache-2.0",
            "base_model": {"id": "acme/tiny-llama", "revision": "0" * 40},
            "architecture": {
                "model_type": "llama",
                "layers": 2,
                "hidden_size": 32,
                "fingerprint": str(newest.architecture.fingerprint),
            },
            "rank": 8,
            "latest": {"version": "1.10.0", "digest": str(newest.digest)},
            "version_count": 4,
            "evaluation": None,
        }
    ]


def test_a_vector_lists_its_versions_newest_first(stocked):
    registry, manifests = stocked

    detail = registry.client.get("/v1/vectors/acme/refusal").json()

    assert detail["versions"] == [
        {
            "version": version,
            "digest": str(manifests[version].digest),
            **dict.fromkeys(("yanked", "deprecated", "purged")),
        }
        for version in ("2.0.0rc1", "1.10.0", "1.2.0", "1.0.0")
    ]


@pytest.mark.parametrize(
    ("params", "version"),
    [
        pytest.param({}, "1.10.0", id="newest final"),
        pytest.param({"alias": "latest"}, "1.10.0", id="latest"),
        pytest.param({"constraint": "~=1.0"}, "1.10.0", id="compatible release"),
        pytest.param({"constraint": "<1.10,>=1"}, "1.2.0", id="bounds"),
        pytest.param({"constraint": "==1.0"}, "1.0.0", id="equal in another spelling"),
        pytest.param({"constraint": ">=2.0rc1"}, "2.0.0rc1", id="names a pre-release"),
    ],
)
def test_resolution(stocked, params, version):
    registry, manifests = stocked

    answer = registry.client.get("/v1/vectors/acme/refusal/resolve", params=params)

    assert answer.json()["version"] == version
    assert answer.json()["digest"] == str(manifests[version].digest)


def test_resolution_by_digest(stocked):
    registry, manifests = stocked
    digest = str(manifests["1.2.0"].digest)

    answer = registry.client.get(
        "/v1/vectors/acme/refusal/resolve", params={"digest": digest}
    )

    assert answer.json()["version"] == "1.2.0"


def test_a_vector_of_pre_releases_only_resolves_to_one(stocked):
    registry, _ = stocked

    answer = registry.client.get("/v1/vectors/only/pre/resolve")

    assert answer.json()["version"] == "1.0.0rc1"


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        ("acme/refusal/resolve", {"constraint": ">=3"}, "'>=3'"),
        ("acme/refusal/resolve", {"alias": "stable"}, "'stable'"),
        ("acme/refusal/resolve", {"digest": "sha256:" + "0" * 64}, "0000"),
        ("acme/nothing/resolve", {}, "acme/nothing"),
        ("acme/nothing", {}, "acme/nothing"),
        ("acme/refusal/versions/9", {}, "9.0.0"),
        ("acme/refusal/versions/9/manifest", {}, "9.0.0"),
        ("acme/refusal/versions/9/files/README.md", {}, "9.0.0"),
    ],
)
def test_what_is_not_there_is_named(stocked, path, params, said):
    registry, _ = stocked

    answer = registry.client.get(f"/v1/vectors/{path}", params=params)

    assert answer.status_code == 404
    assert answer.json()["type"].endswith("/problems/not-found")
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("acme/refusal/resolve", {"constraint": "not a range"}),
        ("acme/refusal/resolve", {"constraint": "~=1.0", "alias": "latest"}),
        ("acme/refusal/resolve", {"digest": "sha256:xyz"}),
        ("acme/refusal/versions/one", {}),
        ("acme/refusal/versions/1.0+local", {}),
        ("ACME/refusal", {}),
        ("acme/re..fusal", {}),
    ],
)
def test_what_is_malformed_is_said_to_be(stocked, path, params):
    registry, _ = stocked

    answer = registry.client.get(f"/v1/vectors/{path}", params=params)

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/problems/invalid-request")


@pytest.mark.parametrize("spelling", ["1.2", "1.2.0", "v1.2", "1.2.0.0"])
def test_a_version_is_found_in_any_spelling(stocked, spelling):
    registry, manifests = stocked

    answer = registry.client.get(f"/v1/vectors/acme/refusal/versions/{spelling}")

    assert answer.json()["version"] == "1.2.0"
    assert answer.json()["digest"] == str(manifests["1.2.0"].digest)


def test_text_with_a_nul_is_published_and_looked_for(registry, tmp_path):
    """PostgreSQL cannot hold one: the manifest does, the copy to search has U+FFFD."""
    manifest = write_version(tmp_path / "v", description="before\x00after")
    assert registry.publish(manifest, tmp_path / "v").status_code == 201

    found = registry.client.get("/v1/vectors", params={"query": "after"}).json()
    exact = registry.client.get("/v1/vectors/acme/refusal/versions/1.0.0/manifest")

    assert [item["description"] for item in found["items"]] == ["before\ufffdafter"]
    assert exact.content == manifest.to_bytes()
    for asked in ("query", "namespace", "base_model"):
        answer = registry.client.get("/v1/vectors", params={asked: "\x00"})
        assert answer.status_code == 200
    path = "/v1/vectors/acme/refusal/versions/1.0.0/files/%00"
    assert registry.client.get(path).status_code == 404


def test_a_page_of_versions_costs_the_same_wherever_it_lies(stocked):
    registry, _ = stocked
    database = registry.services.database
    url, params = "/v1/vectors/acme/refusal/versions", {"limit": 1}

    with remembered(database, "ORDER BY versions.published_at DESC") as statements:
        for _ in range(2):
            answer = registry.client.get(url, params=params).json()
            params["cursor"] = answer["next_cursor"]

    assert len(statements) == 2
    for statement in statements:
        plan = plan_of(database, *statement)
        check_index_only(plan, "ix_versions_vector_id_published_at_id")
