"""What fits each model of a fleet: in one request, each with an answer of its own."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safegene_registry import fleets
from support.odd_configs import odd_configs
from support.registry_app import app_registry
from support.versions import llama_config, neox_config, write_version


@pytest.fixture(scope="module")
def stocked(tmp_path_factory, module_parts):
    root = tmp_path_factory.mktemp("stocked")
    with app_registry(root / "data", **module_parts) as registry:
        for number, (vector, config) in enumerate(
            [
                *((f"acme/llama-{n}", llama_config()) for n in range(4)),
                ("beta/llama", llama_config()),
                ("acme/neox", neox_config()),
            ]
        ):
            place = root / str(number)
            manifest = write_version(place, vector=vector, seed=number, config=config)
            assert registry.publish(manifest, place).status_code == 201
        yield registry


def ask(registry, configs, **more):
    body = json.dumps({"configs": configs, **more})
    answer = registry.client.post(
        "/v1/compatibility/fleet",
        content=body,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(answer):
    return [f"{match['namespace']}/{match['name']}" for match in answer["fits"]]


def test_each_model_gets_its_own_answer(stocked):
    """In the order of the question; equal configs share one."""
    tuned = {**llama_config(), "vocab_size": 999}
    configs = [
        *(llama_config(), {"model_type": "bert"}, neox_config(), llama_config()),
        *(tuned, llama_config(layers=3), {"model": "gpt-4.1-mini"}),
    ]

    found = ask(stocked, configs)

    assert found["places"] == [0, 1, 2, 0, 3, 4, 5]
    llama, bert, neox, wider, deeper, closed = found["answers"]
    assert names(llama) == ["beta/llama", "acme/llama-3", "acme/llama-2"]
    assert {match["level"] for match in llama["fits"]} == {"structural"}
    assert names(neox) == ["acme/neox"]
    assert names(wider) == names(llama)
    assert "vocab_size: 999" in wider["fits"][0]["notes"]
    assert deeper["architecture"]["layers"] == 3
    assert deeper["fits"] == deeper["others"] == []
    for answer, code in ((bert, "unknown-architecture"), (closed, "closed-weights")):
        assert answer["architecture"] is None
        assert [reason["code"] for reason in answer["reasons"]] == [code]


def test_filters_hold_for_all(stocked):
    configs = [llama_config(), neox_config()]

    few = ask(stocked, configs, limit=1)
    acme = ask(stocked, configs, namespace="acme", limit=10)
    none = ask(stocked, configs, max_rank=1)

    assert [names(answer) for answer in few["answers"]] == [
        ["beta/llama"],
        ["acme/neox"],
    ]
    assert len(acme["answers"][0]["fits"]) == 4
    assert [names(answer) for answer in none["answers"]] == [[], []]


def test_as_one_at_a_time(stocked):
    """The same answer as to each by itself, but for what does not fit."""
    configs = [llama_config(), neox_config(), llama_config(layers=9)]

    found = ask(stocked, configs, limit=3)["answers"]

    for config, answer in zip(configs, found, strict=True):
        body = {"config": config, "limit": 3}
        single = stocked.client.post("/v1/compatibility", json=body).json()
        assert answer["fits"] == single["fits"]
        assert answer["architecture"] == single["architecture"]


@settings(max_examples=25, deadline=None)
@given(
    odd=st.lists(
        odd_configs() | st.none() | st.integers() | st.text(max_size=5), max_size=4
    )
)
def test_one_odd_config_spoils_nobody_elses_answer(stocked, odd):
    """Whatever else is asked about, in any order."""
    try:
        json.dumps(odd).encode()
        found = ask(stocked, [*odd, llama_config()])
    except ValueError:
        # Numbers that Python does not write out are refused in `test_matching`.
        return

    assert len(found["places"]) == len(odd) + 1
    assert len(found["answers"][found["places"][-1]]["fits"]) == 3
    for place in found["places"][:-1]:
        answer = found["answers"][place]
        assert answer["architecture"] is not None or len(answer["reasons"]) == 1


@pytest.mark.parametrize(
    "config",
    [
        pytest.param("x", id="text"),
        pytest.param(None, id="null"),
        pytest.param([llama_config()], id="a list"),
        pytest.param({"a": json.loads("[" * 40 + "]" * 40)}, id="too deep"),
        pytest.param({"a": "\ud800"}, id="half a character"),
    ],
)
def test_what_is_no_config_is_told_its_reason(stocked, config):
    found = ask(stocked, [config, llama_config(), config])

    assert found["places"] == [0, 1, 0]
    (reason,) = found["answers"][0]["reasons"]
    assert reason["code"] == "invalid-config"
    assert reason["detail"].startswith("config.json: ")
    assert len(reason["detail"]) < 200


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"configs": []}, id="none"),
        pytest.param({"configs": [{}] * 1001}, id="too many"),
        pytest.param({"configs": {}}, id="no list"),
        pytest.param({"configs": [{}], "limit": 11}, id="limit"),
        pytest.param({"configs": [{}], "namespace": "A"}, id="namespace"),
        pytest.param({}, id="nothing"),
    ],
)
def test_senseless_questions_are_refused(stocked, body):
    answer = stocked.client.post("/v1/compatibility/fleet", json=body)

    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/problems/invalid-request")


def test_a_thousand_models_take_one_request(stocked):
    """Of 250 families, four models each."""
    configs = [
        {**llama_config(hidden=32 + 4 * (n % 250)), "vocab_size": 1000 + n}
        for n in range(1000)
    ]

    found = ask(stocked, configs)

    assert found["places"] == list(range(1000))
    assert len({a["architecture"]["fingerprint"] for a in found["answers"]}) == 250
    assert [len(answer["fits"]) for answer in found["answers"]] == [3, *[0] * 249] * 4


def test_models_too_large_for_one_question_are_refused(stocked, monkeypatch):
    """What each costs follows from its layers: anybody can claim a thousand."""
    monkeypatch.setattr(fleets, "MAX_MODULES", 7 * 50)
    configs = [llama_config(layers=20), llama_config(layers=31)]

    answer = stocked.client.post("/v1/compatibility/fleet", json={"configs": configs})

    assert answer.status_code == 422
    assert "The first 2 different models have more than 350" in answer.json()["detail"]
