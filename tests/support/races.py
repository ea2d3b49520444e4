"""A registry on a real PostgreSQL whose requests wait for each other's locks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import text
from support.aliases import publish_guard
from support.registry_app import app_registry
from support.services import new_database

LOCKED = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database()"
)
"""How many connections wait for a lock."""


@contextmanager
def guard_on_postgresql(place: Path, server: str, migrated: str) -> Iterator[Any]:
    """A registry that holds `guard` 1.0.0, on a copy of a migrated database."""
    template = migrated.rpartition("/")[2]
    with (
        new_database(server, template=template) as url,
        app_registry(place / "data", database_url=url) as running,
    ):
        versions = place / "versions"
        versions.mkdir()
        publish_guard(running, versions, "1.0.0")
        yield running
