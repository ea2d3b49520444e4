"""Every test that asks gets an empty database or bucket of a real server."""

import psycopg
import pytest
from botocore.exceptions import ClientError
from support.services import database_url, new_bucket, new_database

KEYS = ["plain", "a/b/c", "späte+ blüte"]


def databases(server):
    with psycopg.connect(server) as connection:
        rows = connection.execute("SELECT datname FROM pg_database").fetchall()
    return {name for (name,) in rows}


def name_of(url):
    return psycopg.conninfo.conninfo_to_dict(url)["dbname"]


def test_a_database_is_empty_and_takes_tables(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        tables = "SELECT * FROM information_schema.tables WHERE table_schema = 'public'"
        before = connection.execute(tables).fetchall()
        connection.execute("CREATE TABLE words (word text)")
        after = connection.execute(tables).fetchall()

    assert before == []
    assert len(after) == 1


def test_a_database_goes_even_while_somebody_is_connected(postgres_server):
    with new_database(postgres_server) as url:
        left = psycopg.connect(url)
        during = databases(postgres_server)
    with left, pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")

    assert name_of(url) in during
    assert name_of(url) not in databases(postgres_server)


def test_a_database_can_be_a_copy_of_another(postgres_server):
    with new_database(postgres_server) as original:
        with psycopg.connect(original) as connection:
            connection.execute("CREATE TABLE words AS SELECT 'alias' AS word")
        with (
            new_database(postgres_server, template=name_of(original)) as url,
            psycopg.connect(url) as connection,
        ):
            words = connection.execute("SELECT word FROM words").fetchall()

    assert words == [("alias",)]


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("postgresql://u:p@h:1/postgres", "postgresql://u:p@h:1/new"),
        ("postgresql://h/?sslmode=require", "postgresql://h/new?sslmode=require"),
    ],
)
def test_another_database_of_the_same_server_is_named(server, expected):
    assert database_url(server, "new") == expected


def test_a_bucket_is_empty_and_keeps_objects(s3_bucket):
    client, name = s3_bucket.client, s3_bucket.name
    before = client.list_objects_v2(Bucket=name)["KeyCount"]

    for key in KEYS:
        client.put_object(Bucket=name, Key=key, Body=key.encode())

    assert before == 0
    for key in KEYS:
        assert client.get_object(Bucket=name, Key=key)["Body"].read() == key.encode()


def fill_and_leave(server):
    """Use a bucket in every way that can keep it from being removed."""
    with new_bucket(server) as bucket:
        client, name = bucket.client, bucket.name
        client.put_object(Bucket=name, Key="first", Body=b"1")
        versioning = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
        client.put_object(Bucket=name, Key="first", Body=b"2")
        client.delete_object(Bucket=name, Key="first")
        client.create_multipart_upload(Bucket=name, Key="unfinished")
    return name


def test_a_bucket_goes_with_everything_in_it(s3_server):
    name = fill_and_leave(s3_server)

    client = s3_server.client()
    with pytest.raises(ClientError, match="404"):
        client.head_bucket(Bucket=name)
    client.close()


@pytest.mark.slow
def test_so_does_one_of_the_second_server(ceph_server):
    name = fill_and_leave(ceph_server)

    client = ceph_server.client()
    with pytest.raises(ClientError, match="404"):
        client.head_bucket(Bucket=name)
    client.close()


def test_a_wrong_key_is_refused(s3_bucket):
    stranger = boto3_client_of(s3_bucket.server, secret_key="wrong")

    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.list_objects_v2(Bucket=s3_bucket.name)
    stranger.close()


def boto3_client_of(server, **changes):
    return type(server)(**{**vars(server), **changes}).client()
