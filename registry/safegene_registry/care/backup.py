"""`backup`: a consistent copy of catalog and blobs while the registry runs.

The catalog is read first, in one snapshot, and the blobs that it names after it. Blobs
never change and those that a version names are never removed, so what the snapshot
names is there when its turn comes. The one exception is a version that is purged
meanwhile: then the catalog is read anew.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from safegene.artifact.digest import Digest
from safegene_registry import publishing_repository
from safegene_registry.care import table_repository
from safegene_registry.care.snapshots import (
    SNAPSHOTS,
    BackupError,
    Snapshot,
    write_document,
    write_table,
)
from safegene_registry.care.transfer import copy_blobs
from safegene_registry.directory_store import DirectoryBlobStore, sync_directory
from safegene_registry.log import get_logger
from safegene_registry.migrate import newest_revision
from safegene_registry.models import Blob, File, Purge
from safegene_registry.services import Services

log = get_logger("safegene_registry.care.backup")

ATTEMPTS = 5
"""How often the catalog is read anew, since blobs have been purged meanwhile."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup has done."""

    snapshot: Snapshot
    versions: int
    blobs: int
    copied: int
    """Blobs that the backup did not have yet."""
    copied_bytes: int

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "snapshot": self.snapshot.path.name,
            "taken_at": self.snapshot.taken_at,
            "schema": self.snapshot.schema,
            "versions": self.versions,
            "blobs": self.blobs,
            "copied": self.copied,
            "copied_bytes": self.copied_bytes,
            "damaged": list(self.snapshot.damaged),
        }


def back_up(services: Services, directory: Path) -> BackedUp:
    """Copy the registry into a directory; blobs that it has already are not copied.

    Args:
        services: the process's parts.
        directory: of this backup and of those before it; made when missing.

    Raises:
        BackupError: blobs keep being purged.
        ProblemError: the database or a store cannot be used now.
        OSError: the directory cannot be written.
    """
    if (directory / "registry.sqlite3").exists():
        message = f"{directory} is a registry: choose another directory for its backup"
        raise BackupError(message)
    # What is private there is private here: nobody else of this machine may look.
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / SNAPSHOTS).mkdir(exist_ok=True)
    target = DirectoryBlobStore(directory)
    copied: list[Digest] = []
    for _ in range(ATTEMPTS):
        part = directory / SNAPSHOTS / f"{uuid4()}.part"
        try:
            snapshot = write_catalog(services, part)
            sizes = sizes_in(snapshot, purged_too=False)
            more, damaged = copy_blobs(services.store, target, sizes, prove=False)
            copied += more
            if purged(services, damaged):
                log.info("backup_begun_anew", blobs=len(damaged))
                continue
            names = tuple(sorted(str(digest) for digest in damaged))
            snapshot = finish(directory, replace(snapshot, damaged=names))
        finally:
            shutil.rmtree(part, ignore_errors=True)
        rows = {table.name: table.rows for table in snapshot.tables}
        size = sum(sizes.get(digest, 0) for digest in copied)
        return BackedUp(snapshot, rows["versions"], len(sizes), len(copied), size)
    message = f"versions were purged {ATTEMPTS} times during the backup: try again"
    raise BackupError(message)


def write_catalog(services: Services, place: Path) -> Snapshot:
    """Write every table, all of one moment."""
    with services.database.reading() as session:
        tables = tuple(
            write_table(place, table.name, table_repository.rows_of(session, table))
            for table in table_repository.kept_tables()
        )
    taken_at = services.now().isoformat(timespec="microseconds")
    return Snapshot(place, newest_revision() or "", taken_at, tables, ())


def sizes_in(snapshot: Snapshot, *, purged_too: bool) -> Mapping[Digest, int]:
    """The blobs that a snapshot names, with their sizes.

    Args:
        snapshot: of the catalog.
        purged_too: also those that only purged versions name, whose bytes are gone.
    """
    rows = snapshot.rows(Blob.__tablename__)
    gone = set() if purged_too else purged_blobs(snapshot)
    return {
        Digest.parse(row["digest"]): row["size_bytes"]
        for row in rows
        if row["digest"] not in gone
    }


def purged_blobs(snapshot: Snapshot) -> set[str]:
    """The blobs that purged versions name and no others."""
    purged = {row["version_id"] for row in snapshot.rows(Purge.__tablename__)}
    named: dict[bool, set[str]] = {True: set(), False: set()}
    for row in snapshot.rows(File.__tablename__) if purged else ():
        named[row["version_id"] in purged].add(row["digest"])
    return named[True] - named[False]


def purged(services: Services, digests: list[Digest]) -> bool:
    """Whether any of the blobs is not in the catalog any more."""
    names = [str(digest) for digest in digests]
    with services.database.reading() as session:
        return len(publishing_repository.known_blobs(session, names)) < len(names)


def finish(directory: Path, snapshot: Snapshot) -> Snapshot:
    """Give a snapshot its name, by which it is known to be whole."""
    write_document(snapshot.path, snapshot)
    sync_directory(snapshot.path)
    moment = snapshot.taken_at.translate(str.maketrans("", "", "-:")).replace(
        "+0000", "Z"
    )
    final = directory / SNAPSHOTS / moment
    snapshot.path.rename(final)
    sync_directory(final.parent)
    return replace(snapshot, path=final)
