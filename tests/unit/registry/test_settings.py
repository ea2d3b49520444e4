"""Settings: where they come from, what they refuse, and that the page lists them."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from safegene_registry.settings import Settings

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
    ],
)
def test_senseless_values_are_refused(monkeypatch, name, value):
    monkeypatch.setenv(f"SAFEGENE_REGISTRY_{name}", value)

    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_file_bytes = 1


def test_the_page_lists_every_setting_with_its_meaning():
    page = (ROOT / "docs" / "registry.md").read_text(encoding="utf-8")

    for name, field in Settings.model_fields.items():
        start = f"| `{name.upper()}` |"
        row = next((line for line in page.splitlines() if line.startswith(start)), None)
        assert row is not None, f"docs/registry.md does not list {name}"
        assert field.description in row
