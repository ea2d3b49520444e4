"""The judge behind an endpoint, against a real server on this machine."""

import json

import pytest
from safegene_client.endpoint_judge import KEY_VARIABLE, EndpointJudge
from support.scripted_server import Reply, json_reply, scripted_server

from safegene.errors import (
    AuthenticationError,
    RegistryError,
    TransportError,
    UsageError,
)
from safegene.evaluation.outcomes import Outcome

KEY = "sk-secret"


def verdict(content):
    return json_reply({"choices": [{"message": {"content": content}}]})


def outcome(word):
    return verdict(json.dumps({"outcome": word}))


def asked(replies, *, attempts=2, environment=None, answers=("an answer",)):
    """What the judge says where the server gives these replies, one after another."""
    left = list(replies)
    with scripted_server(lambda _: left.pop(0)) as server:
        judge = EndpointJudge(
            f"{server.url}/v1/", "m", attempts=attempts, environment=environment or {}
        )
        try:
            return judge.judge(["a prompt"] * len(answers), answers), server.requests
        finally:
            judge.close()


def test_every_answer_is_judged_in_order():
    words = [str(word) for word in Outcome]

    found, requests = asked(map(outcome, words), answers=words)

    assert found == list(Outcome)
    assert {got.path for got in requests} == {"/v1/chat/completions"}
    sent = json.loads(requests[0].body)
    assert (sent["model"], sent["temperature"]) == ("m", 0)
    assert json.loads(sent["messages"][1]["content"]) == {
        "prompt": "a prompt",
        "answer": "refuse",
    }
    schema = sent["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["outcome"]["enum"] == words


def test_the_key_comes_from_the_environment_and_is_sent_as_a_bearer():
    _, bare = asked([outcome("comply")])
    _, keyed = asked([outcome("comply")], environment={KEY_VARIABLE: KEY})

    assert "authorization" not in bare[0].headers
    assert keyed[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(429), id="too many"),
        pytest.param(Reply(503, headers={"Retry-After": "0"}), id="unavailable"),
        pytest.param(Reply(500), id="server error"),
        pytest.param(Reply(200, b"x" * 100, cut_after=5), id="cut"),
        pytest.param(verdict("It complies."), id="words"),
        pytest.param(verdict('{"outcome": "safe"}'), id="another word"),
        pytest.param(verdict('{"outcome": ["comply"]}'), id="a list"),
        pytest.param(verdict('{"outcome": "comply", "why": "x"}'), id="more keys"),
        pytest.param(verdict('["outcome"]'), id="no object"),
        pytest.param(verdict(None), id="nothing"),
        pytest.param(json_reply({"choices": []}), id="no choice"),
        pytest.param(Reply(200, b"<html>"), id="not JSON"),
    ],
)
def test_what_is_no_verdict_is_asked_for_again_and_then_an_error(reply):
    found, requests = asked([reply, outcome("refuse")])

    assert found == [Outcome.REFUSE]
    assert len(requests) == 2
    with pytest.raises(TransportError, match="judge"):
        asked([reply, reply])


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (401, AuthenticationError, KEY_VARIABLE),
        (403, AuthenticationError, KEY_VARIABLE),
        (404, RegistryError, "check its address and model"),
        (400, RegistryError, "HTTP 400"),
    ],
)
def test_a_refusal_is_not_asked_for_again_and_tells_no_key(status, kind, told):
    with pytest.raises(kind, match=told) as raised:
        asked([Reply(status)], attempts=3, environment={KEY_VARIABLE: KEY})

    assert KEY not in str(raised.value)


def test_an_endpoint_that_is_not_there_is_unreachable():
    with scripted_server(lambda _: outcome("comply")) as server:
        url = server.url
    judge = EndpointJudge(url, "m", attempts=1, environment={})

    with pytest.raises(TransportError, match="could not be asked"):
        judge.judge(["p"], ["a"])
    judge.close()


@pytest.mark.parametrize(
    "url",
    ["", "localhost:1", "ftp://x", "http://x:y", "http://k@x/v1", "http://x/v1?key=k"],
)
def test_an_address_with_a_key_or_without_sense_is_refused(url):
    with pytest.raises(UsageError, match="address is like"):
        EndpointJudge(url, "m", environment={})
