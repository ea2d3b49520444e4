"""The identity of a CI job: where its JWT comes from, and what it is exchanged for."""

import json

import pytest
from safegene_client import find_jwt
from safegene_client.cli import main
from support.scripted_server import Reply, json_reply, problem_reply

from safegene.errors import AuthenticationError, TransportError, UsageError

EXCHANGED = {
    "token": "sgt_short",
    "account": "acme:release",
    "namespace": "acme",
    "scope": "publish",
    "expires_at": "2026-11-26T12:00:00Z",
}


def github(server, token="job-secret"):
    return {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.url}/idtoken/7?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token,
    }


def test_a_given_jwt_is_taken_as_it_is():
    assert find_jwt(environment={"SAFEGENE_OIDC_TOKEN": " a.b.c\n"}) == "a.b.c"


def test_github_is_asked_with_the_audience(serve):
    server = serve(lambda _got: json_reply({"count": 1, "value": "a.b.c"}))

    found = find_jwt(audience="my registry", environment=github(server))

    assert found == "a.b.c"
    (got,) = server.requests
    assert (got.method, got.path) == ("GET", "/idtoken/7")
    assert got.query == {"api-version": "2.0", "audience": "my registry"}
    assert got.headers["authorization"] == "Bearer job-secret"


@pytest.mark.parametrize("reply", [Reply(403), json_reply({"value": 7}), Reply(200)])
def test_a_job_that_github_refuses_is_told_what_it_needs(serve, reply):
    server = serve(lambda _got: reply)

    with pytest.raises(AuthenticationError, match="id-token: write") as caught:
        find_jwt(environment=github(server))

    assert "job-secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["URL", "TOKEN"])
def test_without_an_identity_it_is_said_what_would_give_one(serve, name):
    server = serve(lambda _got: Reply(500))
    half = github(server)
    del half[f"ACTIONS_ID_TOKEN_REQUEST_{name}"]

    with pytest.raises(UsageError, match="SAFEGENE_OIDC_TOKEN"):
        find_jwt(environment=half)

    assert server.requests == []


def test_a_jwt_is_exchanged_for_a_token(connect):
    registry, server = connect(lambda _got: json_reply(EXCHANGED))

    found = registry.exchange("acme", "a.b.c")

    assert (found.token, found.namespace) == ("sgt_short", "acme")
    assert "sgt_short" not in repr(found)
    (got,) = server.requests
    assert (got.method, got.path) == ("POST", "/v1/oidc/token")
    assert json.loads(got.body) == {"namespace": "acme", "jwt": "a.b.c"}


@pytest.mark.parametrize(
    ("status", "slug", "kind", "advice"),
    [
        (401, "identity-rejected", AuthenticationError, "trusted publishers"),
        (503, "issuer-unavailable", TransportError, "try again later"),
    ],
)
def test_a_refused_exchange_says_what_to_do(connect, status, slug, kind, advice):
    registry, _ = connect(
        lambda _got: problem_reply(status, slug, "It is so.", Retry_After="99")
    )

    with pytest.raises(kind, match=advice):
        registry.exchange("acme", "a.b.c")


def test_the_command_prints_the_token_alone(serve, capsys, monkeypatch):
    server = serve(lambda _got: json_reply(EXCHANGED))
    monkeypatch.setenv("SAFEGENE_OIDC_TOKEN", "a.b.c")

    code = main(["exchange", "acme", "--url", server.url])

    said = capsys.readouterr()
    assert (code, said.out, said.err) == (0, "sgt_short\n", "")


def test_the_command_tells_all_as_json(serve, capsys, monkeypatch):
    server = serve(lambda _got: json_reply(EXCHANGED))
    monkeypatch.setenv("SAFEGENE_OIDC_TOKEN", "a.b.c")

    main(["exchange", "acme", "--url", server.url, "--json"])

    assert json.loads(capsys.readouterr().out) == EXCHANGED


def test_the_command_without_an_identity_is_wrong_usage(serve, capsys, monkeypatch):
    server = serve(lambda _got: json_reply(EXCHANGED))
    monkeypatch.delenv("SAFEGENE_OIDC_TOKEN", raising=False)
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL", raising=False)

    code = main(["exchange", "acme", "--url", server.url])

    assert code == 2
    assert "no JWT of a CI job" in capsys.readouterr().err
    assert server.requests == []
