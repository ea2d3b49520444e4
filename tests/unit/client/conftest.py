"""What the client's tests share: scripted servers, and one published directory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from safegene_client.session import Session
from support.models import random_vector, tiny_model
from support.scripted_server import Got, Reply, ScriptedServer, scripted_server

from safegene.vectors.peft_format import save_vector

Serve = Callable[[Callable[[Got], Reply]], ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that answer by a function."""
    with ExitStack() as stack:
        yield lambda respond: stack.enter_context(scripted_server(respond))


@pytest.fixture
def session_with() -> Iterator[Callable[..., Session]]:
    """Open sessions that are closed at the end."""
    with ExitStack() as stack:

        def make(url: str, token: str | None = None, timeout: float = 5) -> Session:
            session = Session(url, token=token, timeout=timeout)
            stack.callback(session.close)
            return session

        yield make


@pytest.fixture(scope="session")
def base() -> Any:
    """The tiny model that the vectors are made for; tests leave it as it is."""
    return tiny_model()


@pytest.fixture(scope="session")
def vector_directory(base: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """acme/guard 1.0.0, ready to publish; tests leave it as it is."""
    place = tmp_path_factory.mktemp("vectors") / "guard"
    save_vector(
        random_vector(base), place, namespace="acme", name="guard", version="1.0.0"
    )
    return place
