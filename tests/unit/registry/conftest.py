"""One registry in process for each test, on every kind of backend."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.backends import Parts
from support.registry_app import AppRegistry, app_registry


@pytest.fixture
def registry(tmp_path: Path, parts: Parts) -> Iterator[AppRegistry]:
    with app_registry(tmp_path / "data", **parts) as running:
        yield running
