"""Settings of the registry: environment variables `SAFEGENE_REGISTRY_*`, then defaults.

Every default is good for a laptop: SQLite and a directory beside it. No secret has a
default. `docs/operations.md` lists the fields; the list is made from them.
"""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL

from safegene.artifact.reference import check_part
from safegene_registry.addresses import is_acceptable
from safegene_registry.postgresql import postgresql_url
from safegene_registry.sqlite import sqlite_url
from safegene_registry.webhooks.targets import Network, parse_networks

MIB = 1024 * 1024
GIB = 1024 * MIB
HTTP_URL = r"^https?://[^\s]+$"


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class Creators(StrEnum):
    """Who may make namespaces."""

    EVERYONE = "everyone"
    OPERATORS = "operators"


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

    database_url: SecretStr | None = None
    """`postgresql://USER:PASSWORD@HOST:PORT/DATABASE`; unset, SQLite in `DATA`."""

    public_url: str | None = Field(default=None, pattern=HTTP_URL)
    """Base of the absolute links in answers; unset, each request's own base is used."""

    s3_bucket: str | None = Field(default=None, min_length=3, max_length=63)
    """Bucket that holds the blobs; unset, they lie in the data directory."""

    s3_endpoint_url: str | None = Field(default=None, pattern=HTTP_URL)
    """Address of the S3 server; unset, Amazon's for the region."""

    s3_public_endpoint_url: str | None = Field(default=None, pattern=HTTP_URL)
    """Address under which clients reach the S3 server, if it is another."""

    s3_region: str = Field(default="us-east-1", min_length=1)
    """Region that requests are signed for."""

    s3_access_key_id: str | None = None
    """Access key; unset, boto3 looks where it always does: the machine's role."""

    s3_secret_access_key: SecretStr | None = None
    """Secret of the access key."""

    s3_presign_lifetime: timedelta = Field(
        default=timedelta(hours=1), ge=timedelta(seconds=1), le=timedelta(days=7)
    )
    """How long an address works that a client is given to send to or download from."""

    s3_timeout: timedelta = Field(
        default=timedelta(seconds=20),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=5),
    )
    """Longest silence of the S3 server, in each of 3 tries; thrice that for copies."""

    s3_part_bytes: int = Field(default=32 * MIB, ge=5 * MIB, le=5 * GIB)
    """Files above this are sent to the bucket in parts of it, in 500 at most."""

    max_request_bytes: int = Field(default=2 * MIB, gt=0)
    """Largest body of any request that is not a blob: manifests, model configs."""

    max_file_bytes: int = Field(default=16 * GIB, gt=0)
    """Largest single file of a version, in bytes."""

    max_version_bytes: int = Field(default=32 * GIB, gt=0)
    """Largest sum of all files of a version, in bytes."""

    background_bytes: int = Field(default=256 * MIB, ge=0)
    """Versions with more bytes are verified after `complete` has answered 202."""

    upload_ttl: timedelta = Field(default=timedelta(hours=24), gt=timedelta(0))
    """How long an upload may stay open without being completed."""

    blob_grace: timedelta = Field(default=timedelta(days=1), ge=timedelta(0))
    """How long a blob that no version names is kept before it may be swept."""

    receive_timeout: timedelta = Field(default=timedelta(seconds=60), gt=timedelta(0))
    """Longest silence of a sender in the middle of a blob before it is cut off."""

    readiness_timeout: timedelta = Field(default=timedelta(seconds=2), gt=timedelta(0))
    """How long the database and the blob store may take to answer `/readyz`."""

    drain_delay: timedelta = Field(default=timedelta(0), ge=timedelta(0))
    """How long after SIGTERM requests are still accepted, while `/readyz` says 503."""

    shutdown_timeout: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """How long running requests may go on after the drain delay."""

    metrics_token: SecretStr | None = Field(default=None, min_length=16)
    """Bearer token that opens `/metrics`; unset, there are none."""

    namespace_creation: Creators = Creators.EVERYONE
    """Who makes namespaces: `everyone` who may publish, or only `operators`."""

    namespace_quota_bytes: int | None = Field(default=None, ge=0)
    """Quota that new namespaces start with, in bytes; unset, none."""

    rate_limit_per_minute: int | None = Field(default=None, gt=0)
    """Requests a minute of one token or address, at each replica; unset, no limit."""

    exchange_limit_per_minute: int | None = Field(default=60, gt=0)
    """JWTs of CI jobs a minute that one address may have exchanged at each replica."""

    max_listeners: int = Field(default=1000, gt=0)
    """Streams of events at once at each replica; one caller gets a quarter of them."""

    webhook_networks: Annotated[tuple[Network, ...], NoDecode] = ()
    """Networks beside the open internet that webhooks may send to, with commas."""

    webhook_allow_http: bool = False
    """Whether webhooks may send without TLS: what happens can be read on the way."""

    upstream_url: str | None = Field(default=None, pattern=HTTP_URL)
    """Registry that versions are fetched from which are asked for and not here."""

    upstream_namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces that the upstream registry is asked for, and no other, with commas."""

    upstream_timeout: timedelta = Field(
        default=timedelta(seconds=20), gt=timedelta(0), le=timedelta(minutes=10)
    )
    """How long a caller waits for the upstream registry, and its longest silence."""

    oidc_issuers: Annotated[tuple[str, ...], NoDecode] = ()
    """Issuers of JWTs that trusted publishers may name, to the letter, with commas."""

    oidc_audience: str = Field(default="safegene", min_length=1, max_length=255)
    """Audience that JWTs must have where a trusted publisher names no other."""

    oidc_token_ttl: timedelta = Field(
        default=timedelta(minutes=30), gt=timedelta(0), le=timedelta(days=1)
    )
    """How long a token lives that a JWT was exchanged for."""

    oidc_allow_loopback: bool = False
    """Whether issuers on this machine may be asked without TLS: for tests."""

    log_format: LogFormat = LogFormat.CONSOLE
    """`console` for people, `json` for one object per line."""

    log_level: str = Field(
        default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$"
    )
    """Least severe log record that is written."""

    @model_validator(mode="after")
    def check_s3(self) -> Self:
        """Refuse half an S3 configuration: a typing error must not move the blobs."""
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            message = "s3_access_key_id and s3_secret_access_key are set together"
            raise ValueError(message)
        names = ("endpoint_url", "public_endpoint_url", "access_key_id")
        given = [f"s3_{name}" for name in names if getattr(self, f"s3_{name}")]
        if self.s3_bucket is None and given:
            message = f"{given[0]} is set, s3_bucket is not"
            raise ValueError(message)
        return self

    @field_validator("database_url")
    @classmethod
    def check_database_url(cls, given: SecretStr | None) -> SecretStr | None:
        """Refuse what is no URL of a PostgreSQL database."""
        if given is not None:
            postgresql_url(given.get_secret_value())
        return given

    @field_validator("oidc_issuers", "upstream_namespaces", mode="before")
    @classmethod
    def split_list(cls, given: object) -> object:
        """Several as the environment lists them."""
        if isinstance(given, str):
            return tuple(part.strip() for part in given.split(",") if part.strip())
        return given

    @field_validator("webhook_networks", mode="before")
    @classmethod
    def split_networks(cls, given: object) -> object:
        """Networks as the environment lists them."""
        return parse_networks(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def check_upstream(self) -> Self:
        """Refuse half an upstream: nobody is asked for everything, by no slip."""
        if (self.upstream_url is None) != (not self.upstream_namespaces):
            message = "upstream_url and upstream_namespaces are set together"
            raise ValueError(message)
        for name in self.upstream_namespaces:
            check_part(name, "namespace")
        return self

    @model_validator(mode="after")
    def check_issuers(self) -> Self:
        """Refuse issuers whose keys a stranger on the way could replace."""
        for issuer in self.oidc_issuers:
            if not is_acceptable(issuer, allow_loopback=self.oidc_allow_loopback):
                message = f"oidc_issuers: {issuer!r} is not an https address"
                raise ValueError(message)
        return self

    @property
    def database_path(self) -> Path:
        """The SQLite file, where there is no other database."""
        return self.data / "registry.sqlite3"

    @property
    def parsed_database_url(self) -> URL:
        """Where the database is, for SQLAlchemy."""
        if self.database_url is None:
            return sqlite_url(self.database_path)
        return postgresql_url(self.database_url.get_secret_value())
