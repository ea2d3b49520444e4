"""Databases, stores and buckets, each of them empty for the next test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from safegene_registry.db import Database
from safegene_registry.postgresql import postgresql_url
from safegene_registry.s3.direct import S3DirectTransfer
from safegene_registry.sqlite import sqlite_url
from safegene_registry.storage import BlobStore
from support.presigned import PART
from support.replicas import shared_settings
from support.s3_stores import empty_bucket, s3_store
from support.services import new_bucket, new_database
from support.stores import Place, directory_place, s3_place


@pytest.fixture
def empty_url(postgres_server: str) -> Iterator[str]:
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(sqlite_url(tmp_path / "registry.sqlite3"))
    else:
        database = Database(postgresql_url(request.getfixturevalue("empty_url")))
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def module_s3_bucket(s3_server):
    """A new bucket costs a server more than all that a test does with it."""
    with new_bucket(s3_server) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def shared_parts(postgres_server, migrated_database, module_s3_bucket):
    """What replicas of one registry share: PostgreSQL and an S3 server."""
    template = migrated_database.rpartition("/")[2]
    with new_database(postgres_server, template=template) as url:
        yield shared_settings(url, module_s3_bucket)


@pytest.fixture(scope="module")
def module_ceph_bucket(ceph_server):
    with new_bucket(ceph_server) as bucket:
        yield bucket


@pytest.fixture(params=["s3", pytest.param("ceph", marks=pytest.mark.slow)])
def bucket(request):
    """An empty bucket, of one server and then, with `-m slow`, of the other."""
    found = request.getfixturevalue(f"module_{request.param}_bucket")
    empty_bucket(found)
    return found


@pytest.fixture
def direct(bucket) -> S3DirectTransfer:
    """What clients do with it; blobs above 5 MiB are sent in parts of 5 MiB."""
    return S3DirectTransfer(s3_store(bucket).bucket, PART)


@pytest.fixture(
    params=["directory", "s3", pytest.param("ceph", marks=pytest.mark.slow)],
)
def place(request, tmp_path) -> Place:
    """A blob store of each kind, empty."""
    if request.param == "directory":
        return directory_place(tmp_path)
    bucket = request.getfixturevalue(f"module_{request.param}_bucket")
    empty_bucket(bucket)
    return s3_place(bucket)


@pytest.fixture
def store(place) -> BlobStore:
    return place.store
