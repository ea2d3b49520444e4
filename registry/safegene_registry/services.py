"""What lives as long as the process: settings, database, blob store, clock.

`create_app` puts one `Services` on the application; handlers get it as `ServicesDep`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends, Request

from safegene.artifact.architecture import Architecture
from safegene_registry.background import Background
from safegene_registry.db import Database
from safegene_registry.directory_store import DirectoryBlobStore
from safegene_registry.issuers import Issuers
from safegene_registry.limits import RateLimiter
from safegene_registry.recent import Recent
from safegene_registry.settings import Settings
from safegene_registry.storage import BlobStore
from safegene_registry.usage import UsageRecorder

MAX_STRUCTURES = 128
MAX_SKETCHES = 128
"""Kept in memory; each takes some hundred kilobytes."""


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that requests share."""

    settings: Settings
    database: Database
    store: BlobStore
    issuers: Issuers
    """Of the JWTs of CI jobs."""
    limiter: RateLimiter
    """Of all requests."""
    exchange_limiter: RateLimiter
    """Of the exchange of JWTs, which costs a signature."""
    usage: UsageRecorder
    now: Callable[[], datetime] = utc_now
    background: Background = field(default_factory=Background)
    structures: Recent[str, Architecture] = field(
        default_factory=lambda: Recent(MAX_STRUCTURES)
    )
    """Of families, by fingerprint."""
    sketches: Recent[str, Sequence[float]] = field(
        default_factory=lambda: Recent(MAX_SKETCHES)
    )
    """Of base models, by the digest of their file."""


def open_services(settings: Settings) -> Services:
    """Open the database and the blob store; the first must have been migrated."""
    database = Database(settings.parsed_database_url)
    return Services(
        settings=settings,
        database=database,
        store=open_store(settings),
        issuers=Issuers(
            settings.oidc_issuers, allow_loopback=settings.oidc_allow_loopback
        ),
        limiter=RateLimiter(settings.rate_limit_per_minute),
        exchange_limiter=RateLimiter(settings.exchange_limit_per_minute),
        usage=UsageRecorder(database),
    )


def open_store(settings: Settings) -> BlobStore:
    """The store that the settings say; a server is not asked anything yet."""
    if settings.s3_bucket is None:
        return DirectoryBlobStore(settings.data)
    # boto3 costs a start half a second.
    from safegene_registry.s3.bucket import S3Bucket
    from safegene_registry.s3.store import S3BlobStore

    return S3BlobStore(S3Bucket(settings), settings.s3_part_bytes)


async def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    return cast("Services", request.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]
