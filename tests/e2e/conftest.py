"""One real registry for all end-to-end tests; each uses a namespace of its own."""

from pathlib import Path

import pytest
from support.registry_server import RunningRegistry
from support.registry_server import registry_server as registry_server  # noqa: PLC0414
from support.safegene_command import SafegeneCommand, command_for


@pytest.fixture
def safegene(registry_server: RunningRegistry, tmp_path: Path) -> SafegeneCommand:
    """The command, with a cache of its own."""
    return command_for(tmp_path / "work", registry_server.url, registry_server.token)
