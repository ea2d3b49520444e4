"""What lives as long as the process: settings, database, blob store, clock.

`create_app` puts one `Services` on the application; handlers get it as `ServicesDep`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import Depends, Request

from safegene_registry.db import Database
from safegene_registry.directory_store import DirectoryBlobStore
from safegene_registry.settings import Settings
from safegene_registry.storage import BlobStore


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that requests share."""

    settings: Settings
    database: Database
    store: BlobStore
    now: Callable[[], datetime] = utc_now


def open_services(settings: Settings) -> Services:
    """Open the embedded database and blob store; the database must be migrated."""
    return Services(
        settings=settings,
        database=Database(settings.database_path),
        store=DirectoryBlobStore(settings.data),
    )


def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    return cast("Services", request.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]
