"""One registry in process for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.registry_app import AppRegistry, app_registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[AppRegistry]:
    with app_registry(tmp_path / "data") as running:
        yield running
