"""Databases and buckets of real servers, for every test that asks for one.

Where the servers are, each on its own: what `SAFEGENE_TEST_DATABASE_URL` or
`SAFEGENE_TEST_S3_ENDPOINT` names; else what `make services-up` started; else the
session starts one and stops it at its end. One that cannot be had fails the test.

Every session loads this module; it imports what speaks to the servers only when used.
"""

import fcntl
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from support.sources import ROOT

from scripts.services.manage import DIRECTORY, service

OWN = ROOT / "build" / "test-services"
"""Of test sessions; what `make services-up` starts is elsewhere and stays."""

USERS = ROOT / "build" / "test-services.users"
"""Locked by each session, so that the last one stops the servers."""

_session = pytest.StashKey[TextIO]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Count this session, workers not, as one that uses the servers."""
    if hasattr(session.config, "workerinput"):
        return
    USERS.parent.mkdir(parents=True, exist_ok=True)
    users = USERS.open("w", encoding="utf-8")
    session.config.stash[_session] = users
    fcntl.flock(users, fcntl.LOCK_SH)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what sessions started, unless another session still runs."""
    users = config.stash.get(_session, None)
    if users is None:
        return
    with users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if OWN.exists():
            run_script("down", "--wipe", "--directory", str(OWN))


def named_addresses() -> set[str]:
    """IP addresses of servers that the environment names; tests may connect to them."""
    keys = ("SAFEGENE_TEST_S3_ENDPOINT", "SAFEGENE_TEST_CEPH_ENDPOINT")
    hosts = [urlsplit(os.environ.get(key, "")).hostname for key in keys]
    return {
        str(place[4][0])
        for host in hosts
        if host is not None
        for place in socket.getaddrinfo(host, None)
    }


def run_script(*arguments: str) -> None:
    """Run `scripts.services`; what it says is the error's text, should it fail."""
    ended = subprocess.run(
        [sys.executable, "-m", "scripts.services", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"scripts.services {arguments} failed:\n{ended.stderr}")


def running(name: str) -> dict[str, str]:
    """What tells where a server is, once it runs; starts it if need be.

    Args:
        name: of `scripts.services`.
    """
    for directory in (DIRECTORY, OWN):
        found = service(name, directory)
        if found.running():
            return found.environment()
    run_script("up", name, "--directory", str(OWN))
    return service(name, OWN).environment()


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """URL of a database of a server on which databases may be made."""
    key = "SAFEGENE_TEST_DATABASE_URL"
    return os.environ.get(key) or running("postgres")[key]


@pytest.fixture(scope="module")
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database of the module's own."""
    with new_database(postgres_server) as url:
        yield url


@contextmanager
def new_database(server: str, *, template: str = "template0") -> Iterator[str]:
    """Make a database, and drop it at the end, with whatever is still connected.

    Args:
        server: URL of another database of the same server.
        template: name of the database it is a copy of; nobody may be connected to it.
    """
    import psycopg
    from psycopg import sql

    name = unique("safegene_test_")
    with psycopg.connect(server, autocommit=True) as connection:
        command = sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'")
        names = (sql.Identifier(name), sql.Identifier(template))
        connection.execute(command.format(*names))
    try:
        yield database_url(server, name)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            command = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(command.format(sql.Identifier(name)))


def database_url(server: str, name: str) -> str:
    """URL of another database of the same server."""
    return re.sub(r"(//[^/]*/)[^?]*", rf"\g<1>{name}", server, count=1)


@dataclass(frozen=True)
class S3Server:
    """An S3 server that answers, and keys that may make buckets."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    def client(self, **options: Any) -> Any:
        """A boto3 client, configured so that it works with every server.

        Args:
            options: of `botocore.config.Config`, such as `read_timeout`.
        """
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                **options,
            ),
        )


@dataclass(frozen=True)
class S3Bucket:
    """A bucket of one's own."""

    server: S3Server
    name: str
    client: Any


@pytest.fixture(scope="session")
def s3_server() -> S3Server:
    """The S3 server that tests run on: SeaweedFS, unless the environment names one."""
    named = "SAFEGENE_TEST_S3_ENDPOINT" in os.environ
    found = os.environ if named else running("seaweedfs")
    return S3Server(
        found["SAFEGENE_TEST_S3_ENDPOINT"],
        found["AWS_ACCESS_KEY_ID"],
        found["AWS_SECRET_ACCESS_KEY"],
        found.get("AWS_DEFAULT_REGION", "us-east-1"),
    )


@pytest.fixture(scope="session")
def ceph_server() -> S3Server:
    """A second S3 server with other quirks, Ceph; half a minute to install."""
    prefix = "SAFEGENE_TEST_CEPH_"
    named = prefix + "ENDPOINT" in os.environ
    found = os.environ if named else running("ceph")
    keys = ("ENDPOINT", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    return S3Server(*(found[prefix + key] for key in keys))


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> Iterator[S3Bucket]:
    """An empty bucket of the test's own."""
    with new_bucket(s3_server) as bucket:
        yield bucket


@pytest.fixture
def ceph_bucket(ceph_server: S3Server) -> Iterator[S3Bucket]:
    """An empty bucket of the test's own, on Ceph."""
    with new_bucket(ceph_server) as bucket:
        yield bucket


@contextmanager
def new_bucket(server: S3Server) -> Iterator[S3Bucket]:
    """Make a bucket, and remove it at the end with all that is in it."""
    prefix = os.environ.get("SAFEGENE_TEST_S3_BUCKET", "safegene-test")
    bucket = S3Bucket(server, unique(prefix + "-"), server.client())
    try:
        bucket.client.create_bucket(Bucket=bucket.name)
        try:
            yield bucket
        finally:
            _empty(bucket)
            bucket.client.delete_bucket(Bucket=bucket.name)
    finally:
        bucket.client.close()


def _empty(bucket: S3Bucket) -> None:
    """Remove every version of every object, and every upload that was not completed."""
    client, name = bucket.client, bucket.name
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        for found in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            which = {"Key": found["Key"], "VersionId": found["VersionId"]}
            client.delete_object(Bucket=name, **which)
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=name):
        for found in page.get("Uploads", []):
            which = {"Key": found["Key"], "UploadId": found["UploadId"]}
            client.abort_multipart_upload(Bucket=name, **which)


def unique(prefix: str) -> str:
    """A name that no other worker or session uses at the same time."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return f"{prefix}{worker}{'_' if '_' in prefix else '-'}{uuid4().hex[:12]}"
