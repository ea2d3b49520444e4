"""Settings: where they come from, what they refuse, that one page lists them."""

from datetime import timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from safegene_registry.__main__ import cli, read_settings
from safegene_registry.postgresql import place
from safegene_registry.settings import Settings
from safegene_registry.settings_page import with_table

ROOT = Path(__file__).parents[3]


def test_the_defaults_need_no_environment():
    settings = Settings()

    assert settings.data == Path("safegene-registry-data")
    assert settings.upload_ttl == timedelta(hours=24)
    assert settings.public_url is None


def test_the_environment_sets_every_field(monkeypatch):
    monkeypatch.setenv("SAFEGENE_REGISTRY_DATA", "/srv/gene")
    monkeypatch.setenv("SAFEGENE_REGISTRY_MAX_FILE_BYTES", "1000")
    monkeypatch.setenv("SAFEGENE_REGISTRY_UPLOAD_TTL", "PT1H")
    monkeypatch.setenv("SAFEGENE_REGISTRY_LOG_FORMAT", "json")

    settings = Settings()

    assert settings.data == Path("/srv/gene")
    assert settings.max_file_bytes == 1000
    assert settings.upload_ttl == timedelta(hours=1)
    assert settings.log_format == "json"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_FILE_BYTES", "0"),
        ("MAX_REQUEST_BYTES", "many"),
        ("PUBLIC_URL", "ftp://x"),
        ("UPLOAD_TTL", "-PT1H"),
        ("LOG_LEVEL", "LOUD"),
        ("S3_BUCKET", "b"),
        ("S3_ENDPOINT_URL", "s3.example.org"),
        ("S3_PUBLIC_ENDPOINT_URL", "s3://blobs"),
        ("S3_PRESIGN_LIFETIME", "P8D"),
        ("S3_PRESIGN_LIFETIME", "PT0S"),
    ],
)
def test_senseless_values_are_refused(monkeypatch, name, value):
    monkeypatch.setenv(f"SAFEGENE_REGISTRY_{name}", value)

    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


S3 = {
    "s3_bucket": "blobs",
    "s3_access_key_id": "id",
    "s3_secret_access_key": "hidden",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UPSTREAM_URL", "https://registry.example.org"),
        ("UPSTREAM_NAMESPACES", "acme,lab"),
    ],
)
def test_half_an_upstream_is_refused(monkeypatch, name, value):
    """Whose address is set alone would be asked for everything, or for nothing."""
    monkeypatch.setenv(f"SAFEGENE_REGISTRY_{name}", value)

    with pytest.raises(ValidationError, match="set together"):
        Settings()


def test_an_upstream_has_the_namespaces_it_is_asked_for(monkeypatch):
    url = "https://registry.example.org"
    monkeypatch.setenv("SAFEGENE_REGISTRY_UPSTREAM_URL", url)
    monkeypatch.setenv("SAFEGENE_REGISTRY_UPSTREAM_NAMESPACES", "acme, lab,")
    assert Settings().upstream_namespaces == ("acme", "lab")

    monkeypatch.setenv("SAFEGENE_REGISTRY_UPSTREAM_NAMESPACES", "acme,*")
    with pytest.raises(ValidationError, match="invalid namespace"):
        Settings()


@pytest.mark.parametrize("left_out", S3)
def test_half_an_s3_configuration_is_refused(left_out):
    given = {name: value for name, value in S3.items() if name != left_out}

    with pytest.raises(ValidationError, match=left_out) as caught:
        Settings(**given)

    assert "hidden" not in caught.value.errors()[0]["msg"]


def test_a_bucket_alone_means_amazons_server_and_the_machines_role():
    settings = Settings(s3_bucket="blobs")

    assert settings.s3_endpoint_url is None
    assert settings.s3_secret_access_key is None
    assert settings.s3_region == "us-east-1"


def test_no_secret_is_ever_shown(monkeypatch):
    monkeypatch.setenv("SAFEGENE_REGISTRY_S3_SECRET_ACCESS_KEY", "hidden")
    with pytest.raises(click.UsageError) as caught:
        read_settings(None)
    monkeypatch.setenv("SAFEGENE_REGISTRY_S3_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("SAFEGENE_REGISTRY_S3_BUCKET", "blobs")

    shown = repr(read_settings(None))

    assert "s3_access_key_id" in caught.value.message
    assert caught.value.__cause__ is None
    assert "hidden" not in caught.value.message + shown


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_file_bytes = 1


@pytest.mark.parametrize(
    "url",
    [
        "mysql://gene:secret@db/gene",
        "postgresql+asyncpg://gene:secret@db/gene",
        "postgresql://gene:secret@db",
        "gene:secret",
    ],
)
def test_a_database_url_that_is_none_is_refused_without_its_password(monkeypatch, url):
    monkeypatch.setenv("SAFEGENE_REGISTRY_DATABASE_URL", url)

    ended = CliRunner().invoke(cli, ["serve"])

    assert ended.exit_code == 2
    assert "SAFEGENE_REGISTRY_DATABASE_URL: expected a URL" in ended.output
    assert "secret" not in ended.output


def test_what_is_wrong_is_shown_where_it_is_no_secret(monkeypatch):
    monkeypatch.setenv("SAFEGENE_REGISTRY_MAX_FILE_BYTES", "many")

    ended = CliRunner().invoke(cli, ["serve"])

    assert ended.exit_code == 2
    assert "got 'many'" in ended.output


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("DRAIN_DELAI", "DRAIN_DELAY"),
        ("BUCKET", "S3_BUCKET"),
        ("DATABASE", "DATABASE_URL"),
        ("S3_ENDPOINT", "S3_ENDPOINT_URL"),
    ],
)
def test_a_slip_in_a_name_is_refused(monkeypatch, tmp_path, given, meant):
    """Else blobs would go to a directory that nobody looks at."""
    monkeypatch.setenv(f"SAFEGENE_REGISTRY_{given}", "any")

    ended = CliRunner().invoke(cli, ["migrate", "--data", str(tmp_path / "data")])

    assert ended.exit_code == 2
    told = (
        f"SAFEGENE_REGISTRY_{given} is no setting; is SAFEGENE_REGISTRY_{meant} meant"
    )
    assert told in ended.output
    assert not (tmp_path / "data").exists()


def test_what_kubernetes_sets_is_no_slip(monkeypatch, tmp_path):
    """For a service called `safegene-registry`."""
    for name in ("SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_8080_TCP_ADDR"):
        monkeypatch.setenv(f"SAFEGENE_REGISTRY_{name}", "10.0.0.1")

    ended = CliRunner().invoke(cli, ["migrate", "--data", str(tmp_path / "data")])

    assert ended.exit_code == 0


def test_a_database_url_is_a_secret():
    settings = Settings(
        database_url="postgres://gene:hunter2@db:5433/gene?sslmode=require"
    )

    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()
    assert settings.parsed_database_url.password == "hunter2"
    assert settings.parsed_database_url.drivername == "postgresql+psycopg"
    assert place(settings.parsed_database_url) == "postgresql://db:5433/gene"


def test_without_a_database_url_the_data_directory_has_a_file(tmp_path):
    settings = Settings(data=tmp_path)

    assert settings.parsed_database_url.get_backend_name() == "sqlite"
    assert settings.parsed_database_url.database == str(tmp_path / "registry.sqlite3")


def test_the_operators_guide_has_the_table_that_the_settings_make():
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    assert page == with_table(page), (
        "run: python tests/unit/registry/freeze_settings.py"
    )


def test_the_settings_are_listed_in_one_place():
    pages = (ROOT / "docs").rglob("*.md")
    rows = [f"| `{name.upper()}` |" for name in Settings.model_fields]

    listing = {
        page.name
        for page in pages
        if any(row in page.read_text(encoding="utf-8") for row in rows)
    }

    assert listing == {"operations.md"}
    link = "(operations.md#configure)"
    assert link in (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")


def test_a_page_without_a_place_for_the_table_is_refused():
    with pytest.raises(ValueError, match="no lines"):
        with_table("# A page")
