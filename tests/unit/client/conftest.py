"""What the client's tests share: scripted servers, and one published directory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from safegene_client import Registry
from safegene_client.pulled import PulledVector
from safegene_client.session import Session
from support.models import random_vector, tiny_model
from support.scripted_server import Got, Reply, ScriptedServer, scripted_server
from support.static_registry import StaticRegistry

from safegene.artifact.calibration import Calibration
from safegene.artifact.manifest import Manifest
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


@pytest.fixture
def static(vector_directory: Path) -> StaticRegistry:
    """What a registry says that holds acme/guard 1.0.0; tests may change it."""
    return StaticRegistry(vector_directory)


@pytest.fixture
def manifest(static: StaticRegistry) -> Manifest:
    """The manifest of acme/guard 1.0.0."""
    return static.manifests["1.0.0"]


@pytest.fixture
def connect(serve: Serve, tmp_path: Path) -> Callable[..., Any]:
    """Serve answers and connect a client with a cache of its own."""

    def make(respond: Callable[[Got], Reply]) -> tuple[Registry, ScriptedServer]:
        server = serve(respond)
        return Registry(server.url, cache=tmp_path / "cache"), server

    return make


@pytest.fixture(scope="session")
def calibration_for() -> Callable[..., Calibration]:
    """Makes a calibration of a pulled vector; the changes are fields of it."""
    zero = {"value": "0", "low": "0", "high": "0"}
    numbers = (
        *("budget", "predicted_kl", "realised_kl", "objective_before"),
        *("objective_after", "objective_uniform", "uniform_coefficient"),
    )

    def make(pulled: PulledVector, **changes: Any) -> Calibration:
        facts: dict[str, Any] = {
            "vector": pulled.identity,
            "digest": pulled.digest,
            "target_fingerprint": str(pulled.manifest.architecture.fingerprint),
            "coefficients": {"0": "0.5", "1": "2"},
            "gain": zero,
            "samples": {"harmful": 20},
            "data": (),
            "solver": "test",
            "forward_equivalents": 0,
            "warnings": (),
            "tool": "test",
        }
        return Calibration(**(dict.fromkeys(numbers, "0.5") | facts | changes))

    return make


@pytest.fixture
def visible() -> Callable[[Path], list[Path]]:
    """Lists the files below a place, locks apart: nothing half-written may be left."""
    return lambda root: [
        path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"
    ]
