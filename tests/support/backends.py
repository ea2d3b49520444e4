"""What a registry runs on: the parts in one process, or those that replicas share.

Tests that take one of these fixtures, or one built on them, run on each. Every session
loads this module, so it imports the registry only when used.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import pytest
from support.s3_stores import empty_bucket, s3_settings
from support.services import S3Bucket, S3Server, new_bucket, new_database

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
    buckets = request.getfixturevalue("buckets")

    @contextmanager
    def shared() -> Iterator[Parts]:
        with (
            new_database(server, template=template) as url,
            buckets.lent() as bucket,
        ):
            yield {"database_url": url, **s3_settings(bucket)}

    return shared


class Buckets:
    """Buckets of one server, emptied for the next who asks.

    Making and removing one costs a server more than all that most tests do with it.
    """

    def __init__(self, server: S3Server, stack: ExitStack) -> None:
        self._server = server
        self._stack = stack
        self._free: list[S3Bucket] = []

    @contextmanager
    def lent(self) -> Iterator[S3Bucket]:
        """An empty bucket, until the end of the block."""
        if self._free:
            bucket = self._free.pop()
        else:
            bucket = self._stack.enter_context(new_bucket(self._server))
        yield bucket
        empty_bucket(bucket)
        self._free.append(bucket)


@pytest.fixture(scope="session")
def buckets(s3_server: S3Server) -> Iterator[Buckets]:
    """Of the server that tests run on."""
    with ExitStack() as stack:
        yield Buckets(s3_server, stack)


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
    return {f"SAFEGENE_REGISTRY_{key.upper()}": plain(v) for key, v in parts.items()}


def plain(value: Any) -> str:
    """A setting as text."""
    reveal = getattr(value, "get_secret_value", None)
    return str(value if reveal is None else reveal())
