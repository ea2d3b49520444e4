"""What a registry runs on: the parts in one process, or those that replicas share.

Tests that take one of these fixtures, or one built on them, run on each. Every session
loads this module, so it imports the registry only when used.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
from support.services import new_database

Parts = dict[str, Any]
"""Fields of `Settings` that say where a registry keeps its data."""

NewBackend = Callable[[], AbstractContextManager[Parts]]
"""Makes empty parts, and removes them at the end."""

BACKENDS = os.environ.get("SAFEGENE_TEST_BACKENDS", "embedded,shared").split(",")
"""Where tests run that can run anywhere; a part of them, to be quicker."""


@pytest.fixture(scope="session")
def migrated_database(postgres_server: str) -> Iterator[str]:
    """A PostgreSQL database with tables and nothing else, to make copies of."""
    from safegene_registry.db import Database
    from safegene_registry.migrate import upgrade
    from safegene_registry.postgresql import postgresql_url

    with new_database(postgres_server) as url:
        database = Database(postgresql_url(url))
        upgrade(database)
        # Nobody may be connected to what is copied.
        database.dispose()
        yield url


@pytest.fixture(scope="session", params=BACKENDS)
def new_backend(request: pytest.FixtureRequest) -> NewBackend:
    """Makes the parts of one registry after another, of each kind."""
    return backend_of(request, request.param)


@pytest.fixture(scope="session")
def new_first_backend(request: pytest.FixtureRequest) -> NewBackend:
    """The same for one kind only, where it does not matter."""
    return backend_of(request, BACKENDS[0])


def backend_of(request: pytest.FixtureRequest, kind: str) -> NewBackend:
    """Makes the parts of a registry of this kind."""
    if kind == "embedded":
        return lambda: nullcontext({})
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("migrated_database").rpartition("/")[2]

    @contextmanager
    def shared() -> Iterator[Parts]:
        with new_database(server, template=template) as url:
            yield {"database_url": url}

    return shared


@pytest.fixture
def parts(new_backend: NewBackend) -> Iterator[Parts]:
    """The parts of this test's registry."""
    with new_backend() as made:
        yield made


@pytest.fixture(scope="module")
def module_parts(new_backend: NewBackend) -> Iterator[Parts]:
    """The parts of a registry that a module's tests share."""
    with new_backend() as made:
        yield made


def environment_of(parts: Parts) -> dict[str, str]:
    """The same for a process of its own."""
    return {f"SAFEGENE_REGISTRY_{key.upper()}": str(v) for key, v in parts.items()}
