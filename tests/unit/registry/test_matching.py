"""The compatibility query: what fits, what does not and why."""

import json

import pytest
from hypothesis import given, settings
from support.odd_configs import odd_configs
from support.plans import check_walk, plan_of, remembered
from support.registry_app import app_registry
from support.versions import llama_config, neox_config, write_version

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.lineage import load_sketch
from safegene.artifact.manifest import LINEAGE_NAME


@pytest.fixture(scope="module")
def stocked(tmp_path_factory, module_parts):
    root = tmp_path_factory.mktemp("stocked")
    with app_registry(root / "data", **module_parts) as registry:

        def add(vector, version="1.0.0", **facts):
            place = root / f"{vector.replace('/', '-')}-{version}"
            manifest = write_version(place, vector=vector, version=version, **facts)
            assert registry.publish(manifest, place).status_code == 201

        add("acme/first")
        add("acme/first", "1.1.0", seed=1)
        add("acme/first", "2.0.0", seed=2)
        add("beta/second", seed=3)
        add("acme/deep", config=llama_config(layers=4))
        add("acme/wide", config=llama_config(hidden=64))
        add("acme/neox", config=neox_config())
        many = {**llama_config(), "num_key_value_heads": 4, "head_dim": 12}
        add("gamma/heads", config=many)
        yield registry


def ask(registry, config, **more):
    answer = registry.client.post("/v1/compatibility", json={"config": config, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def identities(matches):
    return [f"{m['namespace']}/{m['name']}@{m['version']}" for m in matches]


def test_vectors_of_the_same_family_fit_the_newest_published_first(stocked):
    answer = ask(stocked, llama_config())

    assert identities(answer["fits"]) == ["beta/second@1.0.0", "acme/first@2.0.0"]
    assert answer["architecture"]["model_type"] == "llama"
    assert answer["reasons"] == []
    for match in answer["fits"]:
        assert match["level"] == "structural"
        assert [r["code"] for r in match["reasons"]] == ["lineage-not-checked"]


def test_vocabulary_and_context_do_not_matter(stocked):
    config = {**llama_config(), "vocab_size": 999, "max_position_embeddings": 7}

    answer = ask(stocked, config)

    assert len(answer["fits"]) == 2
    assert "vocab_size: 999" in answer["fits"][0]["notes"]


def test_the_nearest_other_families_come_with_reasons(stocked):
    answer = ask(stocked, llama_config(layers=3))

    assert answer["fits"] == []
    others = identities(answer["others"])
    assert set(others[:3]) == {
        "beta/second@1.0.0",
        "acme/first@2.0.0",
        "acme/deep@1.0.0",
    }
    assert others[3:] == ["gamma/heads@1.0.0", "acme/wide@1.0.0", "acme/neox@1.0.0"]
    deep = next(m for m in answer["others"] if m["name"] == "deep")
    assert deep["level"] == "incompatible"
    assert deep["reasons"][0]["code"] == "architecture-field-differs"
    assert deep["reasons"][0]["expected"] == "4"
    assert deep["reasons"][0]["actual"] == "3"


def test_of_families_with_the_same_numbers_the_one_most_alike_comes_first(stocked):
    """Ties of the database's order: the width of the MLP is not among its columns."""
    wider = {**llama_config(), "intermediate_size": 64}

    other_mlp = ask(stocked, wider)
    other_heads = ask(stocked, {**wider, "num_key_value_heads": 4})

    assert identities(other_mlp["others"])[0] == "beta/second@1.0.0"
    assert identities(other_heads["others"])[0] == "gamma/heads@1.0.0"


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("~=1.0", ["beta/second@1.0.0", "acme/first@1.1.0"]),
        (">=1.1", ["acme/first@2.0.0"]),
        (">=3", []),
    ],
)
def test_a_range_picks_the_version(stocked, constraint, expected):
    answer = ask(stocked, llama_config(), constraint=constraint)

    assert identities(answer["fits"]) == expected


def test_a_range_holds_for_the_others_too(stocked):
    answer = ask(stocked, llama_config(layers=3), constraint="<2")

    assert "acme/first@1.1.0" in identities(answer["others"])


def test_a_namespace_narrows_both_lists(stocked):
    answer = ask(stocked, llama_config(), namespace="beta")

    assert identities(answer["fits"]) == ["beta/second@1.0.0"]
    assert answer["others"] == []


def test_the_limit_holds(stocked):
    answer = ask(stocked, llama_config(), limit=1)

    assert identities(answer["fits"]) == ["beta/second@1.0.0"]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        pytest.param({"model_type": "bert"}, "unknown-architecture", id="unknown"),
        pytest.param({"model_type": "mixtral"}, "unsupported-experts", id="experts"),
        pytest.param({}, "unknown-architecture", id="empty"),
        pytest.param({"model_type": "llama"}, "invalid-config", id="no sizes"),
        pytest.param({"model": "gpt-4.1-mini"}, "closed-weights", id="closed"),
        pytest.param(
            {
                **llama_config(),
                "num_attention_heads": 1 << 24,
                "num_key_value_heads": 1 << 24,
                "head_dim": 1 << 24,
            },
            "invalid-config",
            id="larger than any model",
        ),
    ],
)
def test_an_unknown_architecture_is_an_answer_not_an_error(stocked, config, code):
    answer = ask(stocked, config)

    assert answer["architecture"] is None
    assert [reason["code"] for reason in answer["reasons"]] == [code]
    assert answer["fits"] == answer["others"] == []


@settings(max_examples=40, deadline=None)
@given(config=odd_configs())
def test_whatever_config_comes_is_answered_or_refused(stocked, config):
    body = json.dumps({"config": config})

    answer = stocked.client.post(
        "/v1/compatibility",
        content=body,
        headers={"content-type": "application/json"},
    )

    assert answer.status_code in (200, 422), answer.text
    said = answer.json()
    if answer.status_code == 422:
        assert said["type"].endswith("/problems/invalid-request")
        return
    assert said["architecture"] is None
    (reason,) = said["reasons"]
    assert len(reason["detail"]) < 1000
    assert said["fits"] == said["others"] == []


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"x": [value]}
    return value


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"config": {"model_type": "\\ud800"}}', id="half a character"),
        pytest.param(b'{"config": {"\\ud800": 1}}', id="half a character as key"),
        pytest.param(b'{"config": [1]}', id="no object"),
        pytest.param(b"{}", id="no config"),
        pytest.param(b"not json", id="no JSON"),
        pytest.param(b'{"config": ' + b"[" * 5000 + b"]" * 5000 + b"}", id="deep"),
        pytest.param(
            b'{"config": {"a":' + b"[" * 40 + b"]" * 40 + b"}}", id="too deep"
        ),
        pytest.param(b'{"config": {"a": ' + b"9" * 5000 + b"}}", id="huge number"),
        pytest.param(b'{"config": {}, "constraint": "nonsense"}', id="bad range"),
        pytest.param(b'{"config": {}, "namespace": "A"}', id="bad namespace"),
        pytest.param(b'{"config": {}, "limit": 0}', id="limit"),
    ],
)
def test_hostile_questions_are_refused(stocked, body):
    answer = stocked.client.post(
        "/v1/compatibility", content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/problems/invalid-request")


def test_the_query_is_an_index_lookup_however_many_versions_there_are(stocked):
    database = stocked.services.database

    with remembered(database, r"heads\.fingerprint = [?%]") as statements:
        ask(stocked, llama_config())

    index = "ix_heads_fingerprint_published_at_vector_id"
    check_walk(database, plan_of(database, *statements[0]), index)


def test_the_nearest_families_are_ordered_once_and_walked_until_there_are_enough(
    stocked,
):
    """Ordered again, all of them would be asked for vectors first."""
    database = stocked.services.database

    with remembered(database, r"walked\.wider") as statements:
        ask(stocked, llama_config(layers=3))

    assert plan_of(database, *statements[0]).count("Sort Key") <= 1


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"base_model": "acme/tiny-llama"}, ["beta/second@1.0.0", "acme/first@2.0.0"]),
        ({"base_model": "acme/other"}, []),
        ({"license": "Apache-2.0", "limit": 1}, ["beta/second@1.0.0"]),
        ({"license": "MIT"}, []),
        ({"max_rank": 8}, ["beta/second@1.0.0", "acme/first@2.0.0"]),
        ({"max_rank": 7}, []),
    ],
)
def test_filters_hold_for_the_newest_version(stocked, filters, expected):
    assert identities(ask(stocked, llama_config(), **filters)["fits"]) == expected


@pytest.mark.parametrize("more", [{}, {"constraint": "~=1.0"}])
def test_what_fits_comes_in_pages(stocked, more):
    whole = ask(stocked, llama_config(), **more)

    first = ask(stocked, llama_config(), limit=1, **more)
    second = ask(stocked, llama_config(), cursor=first["next_cursor"], limit=1, **more)

    assert [*first["fits"], *second["fits"]] == whole["fits"]
    assert len(whole["fits"]) == 2
    assert whole["next_cursor"] is second["next_cursor"] is None
    assert first["others"] == whole["others"]
    assert second["others"] == []


def test_a_family_is_asked_about_by_its_fingerprint(stocked):
    """As with the config, but for notes; kept, and asked about with If-None-Match."""
    known = ask(stocked, llama_config())
    asked = {"fingerprint": known["architecture"]["fingerprint"], "limit": 1}

    found = stocked.client.get("/v1/compatibility", params=asked)
    etag = found.headers["etag"]
    again = stocked.client.get(
        "/v1/compatibility", params=asked, headers={"If-None-Match": etag}
    )
    token = stocked.client.get("/v1/compatibility", params=asked, headers=stocked.auth)

    answer = found.json()
    assert identities(answer["fits"]) == ["beta/second@1.0.0"]
    assert answer["architecture"] == known["architecture"]
    assert identities(answer["others"]) == identities(known["others"])
    assert "limit=1&cursor=" in found.headers["link"]
    assert found.headers["cache-control"] == "public, no-cache"
    assert found.headers["vary"] == "Authorization"
    assert (again.status_code, again.content) == (304, b"")
    assert token.json() == answer
    assert token.headers["cache-control"] == "private, no-cache"


def test_a_family_that_nothing_was_published_for_is_not_known(stocked):
    answer = stocked.client.get(
        "/v1/compatibility", params={"fingerprint": f"sha256:{'0' * 64}"}
    )

    assert answer.status_code == 200
    assert answer.json()["architecture"] is None
    assert [r["code"] for r in answer.json()["reasons"]] == ["unknown-architecture"]


def sketch_of(directory):
    """The sketch that a version was published with."""
    family = architecture_from_config(llama_config())
    return load_sketch(directory / LINEAGE_NAME, family)


@pytest.fixture(scope="module")
def sketch(tmp_path_factory):
    """Of the base model of `acme/first` 2.0.0."""
    place = tmp_path_factory.mktemp("sketch") / "v"
    write_version(place, version="2.0.0", seed=2)
    return sketch_of(place)


def test_a_sketch_tells_descendants_from_strangers(stocked, sketch):
    """Of two vectors of one family, the base of one is the asked model."""
    exact = ask(stocked, llama_config(), sketch=sketch)
    tuned = ask(stocked, llama_config(), sketch=[value + 0.01 for value in sketch])
    neither = ask(stocked, llama_config(), sketch=sketch[::-1])

    assert identities(exact["fits"]) == ["acme/first@2.0.0"]
    assert exact["fits"][0]["level"] == "exact"
    assert tuned["fits"][0]["level"] == "compatible"
    stranger = exact["others"][0]
    assert identities([stranger]) == ["beta/second@1.0.0"]
    assert stranger["level"] == "incompatible"
    assert [reason["code"] for reason in stranger["reasons"]] == ["lineage-differs"]
    assert float(stranger["lineage"]) < 0.5
    assert neither["fits"] == []
    assert len(neither["others"]) == 2 + len(exact["others"]) - 1


def test_a_sketch_of_another_size_is_refused(stocked, sketch):
    body = {"config": llama_config(), "sketch": sketch[1:]}

    answer = stocked.client.post("/v1/compatibility", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/sketch"
    assert f"has {len(sketch)} values, got {len(sketch) - 1}" in answer.json()["detail"]
