"""Settings of the registry: environment variables `SAFEGENE_REGISTRY_*`, then defaults.

Every default is good for a laptop: SQLite and a directory beside it. There is no secret
among them. `docs/registry.md` lists the fields and a test keeps that list true.
"""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
GIB = 1024 * MIB


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class Settings(BaseSettings):
    """Everything an operator can set; frozen once read."""

    model_config = SettingsConfigDict(
        env_prefix="SAFEGENE_REGISTRY_",
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    data: Path = Path("safegene-registry-data")
    """Directory of the embedded registry: the database and the blobs live in it."""

    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """Base of the absolute links in answers; unset, each request's own base is used."""

    max_request_bytes: int = Field(default=16 * MIB, gt=0)
    """Largest body of any request that is not a blob: manifests, model configs."""

    max_file_bytes: int = Field(default=16 * GIB, gt=0)
    """Largest single file of a version, in bytes."""

    max_version_bytes: int = Field(default=32 * GIB, gt=0)
    """Largest sum of all files of a version, in bytes."""

    upload_ttl: timedelta = Field(default=timedelta(hours=24), gt=timedelta(0))
    """How long an upload may stay open without being completed."""

    blob_grace: timedelta = Field(default=timedelta(days=1), ge=timedelta(0))
    """How long a blob that no version names is kept before it may be swept."""

    receive_timeout: timedelta = Field(default=timedelta(seconds=60), gt=timedelta(0))
    """Longest silence of a sender in the middle of a blob before it is cut off."""

    shutdown_timeout: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """How long running requests may go on after SIGTERM."""

    log_format: LogFormat = LogFormat.CONSOLE
    """`console` for people, `json` for one object per line."""

    log_level: str = Field(
        default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$"
    )
    """Least severe log record that is written."""

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data / "registry.sqlite3"
