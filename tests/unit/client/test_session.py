"""Retries, bounded answers and tokens, over real connections."""

import socket
import time

import pytest
from pydantic import BaseModel
from safegene_client.session import ATTEMPTS, Body, json_body
from support.scripted_server import Reply, json_reply, problem_reply

from safegene.errors import (
    NotFoundError,
    RegistryError,
    SafeGeneError,
    TransportError,
)


class Thing(BaseModel):
    name: str
    size: int


def test_answer_is_read_into_its_model(serve, session_with):
    server = serve(lambda _: json_reply({"name": "a", "size": 3}))

    thing = session_with(server.url).ask(Thing, "GET", "/thing", params={"q": "ä b"})

    assert thing == Thing(name="a", size=3)
    assert server.requests[0].query == {"q": "ä b"}
    assert server.requests[0].headers["user-agent"].startswith("safegene/")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>", {"Content-Type": "text/html"}),
        json_reply({"name": "a"}),
        json_reply([]),
        Reply(204),
    ],
)
def test_answer_of_another_kind_is_an_error_that_says_so(serve, session_with, reply):
    server = serve(lambda _: reply)

    with pytest.raises(RegistryError, match="no Thing") as caught:
        session_with(server.url).ask(Thing, "GET", "/thing")

    assert server.url in caught.value.detail
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_passing_refusal_is_repeated_after_the_pause_it_asks_for(
    serve, session_with, status
):
    refusal = problem_reply(status, "rate-limited", "Busy.", Retry_After="1")
    server = serve(
        lambda _: refusal if len(server.requests) == 1 else Reply(200, b"done")
    )
    begun = time.monotonic()

    answer = session_with(server.url).send("GET", "/x")

    assert answer.body == b"done"
    assert time.monotonic() - begun >= 1
    assert len(server.requests) == 2


def test_body_is_sent_whole_again_with_every_attempt(serve, session_with):
    server = serve(
        lambda _: Reply(503) if len(server.requests) == 1 else Reply(200, b"done")
    )

    session_with(server.url).send("PUT", "/x", body=json_body({"a": 1}))

    assert [got.body for got in server.requests] == [b'{"a": 1}', b'{"a": 1}']
    assert server.requests[1].headers["content-type"] == "application/json"
    assert server.requests[1].headers["content-length"] == "8"


def test_too_long_a_pause_is_reported_instead_of_waited_for(serve, session_with):
    server = serve(
        lambda _: problem_reply(429, "rate-limited", "Busy.", Retry_After="3600")
    )

    with pytest.raises(TransportError) as caught:
        session_with(server.url).send("GET", "/x")

    assert caught.value.retry_after == 3600
    assert len(server.requests) == 1


def test_final_refusal_is_not_repeated(serve, session_with):
    server = serve(lambda _: problem_reply(404, "not-found", "There is none."))

    with pytest.raises(NotFoundError, match="There is none"):
        session_with(server.url).send("GET", "/x")

    assert len(server.requests) == 1


def test_broken_answer_is_fetched_again(serve, session_with):
    server = serve(
        lambda _: Reply(
            200, b"whole answer", cut_after=5 if len(server.requests) == 1 else None
        )
    )

    assert session_with(server.url).send("GET", "/x").body == b"whole answer"
    assert len(server.requests) == 2


def test_dead_server_is_named_with_what_to_do(session_with):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    begun = time.monotonic()

    with pytest.raises(TransportError) as caught:
        session_with(f"http://127.0.0.1:{port}").send("GET", "/x")

    assert f"http://127.0.0.1:{port}" in caught.value.detail
    assert "safegene-registry serve" in caught.value.detail
    # Three pauses of a quarter, half and whole second at most, half of each at least.
    assert time.monotonic() - begun >= 0.8


def test_silent_server_counts_as_unreachable(session_with):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        with pytest.raises(TransportError, match="cannot reach"):
            session_with(url, timeout=0.1).send("GET", "/x", attempts=1)


def test_answers_without_end_are_cut_off(serve, session_with):
    server = serve(lambda _: Reply(200, b"x" * ((16 << 20) + 1)))

    with pytest.raises(RegistryError, match="more than"):
        session_with(server.url).send("GET", "/x")


def test_token_goes_to_the_registry_and_to_nobody_else(serve, session_with):
    store = serve(lambda _: Reply(200, b"bytes"))
    registry = serve(
        lambda got: (
            Reply(307, headers={"Location": f"{store.url}/bytes"})
            if got.path == "/away"
            else Reply(200, b"here")
        )
    )
    session = session_with(registry.url, token="sgt_secret")

    redirected = session.send("GET", "/away")
    direct = session.send("PUT", f"{store.url}/put", body=Body.of(b"1", "x/y"))
    own = session.send("GET", "/here")

    assert (redirected.body, direct.body, own.body) == (b"bytes", b"bytes", b"here")
    assert [got.headers.get("authorization") for got in store.requests] == [None, None]
    assert {got.headers.get("authorization") for got in registry.requests} == {
        "Bearer sgt_secret"
    }


def test_registry_may_live_below_a_path(serve, session_with):
    server = serve(lambda _: Reply(200))

    session_with(f"{server.url}/safe/gene").send("GET", "/v1/vectors")

    assert server.paths() == ["/safe/gene/v1/vectors"]


@pytest.mark.parametrize("address", ["http://[", "http://", "gopher://x/y"])
def test_senseless_address_of_a_server_raises_nothing_foreign(session_with, address):
    with pytest.raises(SafeGeneError):
        session_with("http://127.0.0.1:1").send("PUT", address, attempts=1)


def test_attempts_are_bounded(serve, session_with):
    server = serve(lambda _: Reply(503, headers={"Retry-After": "0"}))

    with pytest.raises(TransportError):
        session_with(server.url).send("GET", "/x")

    assert len(server.requests) == ATTEMPTS
