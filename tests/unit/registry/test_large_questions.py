"""Questions of any size and kind: a clear refusal, in little time and memory."""

import asyncio
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.odd_configs import ODD_VALUES, odd_configs
from support.registry_app import app_registry
from support.versions import llama_config

PATHS = ("/v1/compatibility", "/v1/compatibility/fleet")
PIECE = b"[" + b"0," * (1 << 15)
WHOLE = 100 << 20
LIMIT = 2 << 20
ROOM = 16 << 20
"""Bytes that a refusal may take beside the body's first two MiB."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Nothing here reaches a database but to look who asks."""
    with app_registry(tmp_path_factory.mktemp("empty") / "data") as running:
        yield running


def send(registry, path, *, announced):
    """POST 100 MB piece by piece; status, problem and how much was taken of it.

    Args:
        registry: that gets it.
        path: where to.
        announced: with its length in the header, or in chunks.
    """
    headers = [(b"content-type", b"application/json")]
    if announced:
        headers.append((b"content-length", str(WHOLE).encode()))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    taken, said = 0, []

    async def receive():
        nonlocal taken
        taken += len(PIECE)
        return {"type": "http.request", "body": PIECE, "more_body": taken < WHOLE}

    async def tell(message):
        said.append(message)

    asyncio.run(registry.app(scope, receive, tell))
    body = b"".join(message.get("body", b"") for message in said)
    return said[0]["status"], json.loads(body), taken


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_a_hundred_megabytes_are_refused_at_two(registry, path, announced):
    tracemalloc.start()
    status, problem, taken = send(registry, path, announced=announced)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert status == 413
    assert problem["type"].endswith("/problems/payload-too-large")
    assert str(LIMIT) in problem["detail"]
    assert taken <= (0 if announced else LIMIT + len(PIECE))
    assert peak < LIMIT + ROOM


HUGE = 10**4000
FULL = {
    "wide": {"config": {f"field {n}": n for n in range(100_000)}},
    "long text": {"config": {"model_type": "x" * 1_900_000}},
    "long list": {"config": {"model_type": [0] * 900_000}},
    "long name": {"config": {"x" * 1_900_000: 1}},
    "large numbers": {
        "config": {
            **llama_config(),
            "num_hidden_layers": 10**4000,
            "x": [10**4000] * 99,
        }
    },
    "long sketch": {"config": llama_config(), "sketch": [0.1] * 400_000},
}


@pytest.mark.parametrize("name", FULL)
def test_a_body_at_the_limit_is_answered_or_refused_in_few_words(registry, name):
    """Whatever it is full of: no answer repeats it."""
    answer = registry.client.post("/v1/compatibility", json=FULL[name])

    assert answer.status_code in (200, 422), answer.text[:300]
    assert len(answer.content) < 20_000
    if answer.status_code == 422:
        assert answer.json()["type"].endswith("/problems/invalid-request")


@settings(max_examples=60, deadline=None)
@given(
    body=st.fixed_dictionaries(
        {},
        optional={
            "config": odd_configs() | ODD_VALUES,
            "configs": st.lists(odd_configs() | ODD_VALUES, max_size=3) | ODD_VALUES,
            **dict.fromkeys(
                ("constraint", "namespace", "base_model", "license", "cursor"),
                ODD_VALUES,
            ),
            **dict.fromkeys(("limit", "max_rank", "sketch"), ODD_VALUES),
        },
    ),
    path=st.sampled_from(PATHS),
)
def test_whatever_is_asked_is_answered_or_refused(registry, body, path):
    """Wrong types, numbers of thousands of digits, missing and unknown keys."""
    try:
        content = json.dumps(body)
    except ValueError:
        # Python does not write larger numbers out; `test_matching` has one of them.
        return

    answer = registry.client.post(
        path, content=content, headers={"content-type": "application/json"}
    )

    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        problem = answer.json()
        assert problem["type"].endswith("/problems/invalid-request")
        assert len(problem["detail"]) < 2000
