"""The parts of a registry without its HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safegene_registry.server import prepare_data
from safegene_registry.services import Services, open_services
from safegene_registry.settings import Settings
from support.backends import Parts


@contextmanager
def opened(data: Path, parts: Parts) -> Iterator[Services]:
    """The parts of a registry, its catalog in order."""
    settings = Settings(data=data, **parts)
    prepare_data(settings).dispose()
    services = open_services(settings)
    try:
        yield services
    finally:
        services.database.dispose()
