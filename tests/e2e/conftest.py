"""One real registry for all end-to-end tests; each uses a namespace of its own."""

from pathlib import Path

import pytest
from support.registry_server import (
    RunningRegistry,
    each_registry_server,
    registry_server,
)
from support.safegene_command import SafegeneCommand, command_for

__all__ = ["each_registry_server", "registry_server", "safegene"]


@pytest.fixture
def safegene(registry_server: RunningRegistry, tmp_path: Path) -> SafegeneCommand:
    """The command, with a cache of its own."""
    return command_for(tmp_path / "work", registry_server.url, registry_server.token)
