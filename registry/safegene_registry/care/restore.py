"""`restore`: a backup becomes a registry, in an empty database and any store.

The rows of the blobs come first, so that no sweep takes a blob that is being restored;
then the blobs, each read back and hashed; then, in one transaction, all the rest.
Before that transaction nobody sees anything, and what was interrupted can be begun
again: blobs that are there, and right, are not copied twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safegene.artifact.digest import Digest
from safegene_registry import removals
from safegene_registry.care import check_repository, table_repository
from safegene_registry.care.backup import sizes_in
from safegene_registry.care.snapshots import BackupError, Snapshot, find_snapshot
from safegene_registry.care.transfer import batches, copy_blobs
from safegene_registry.directory_store import DirectoryBlobStore
from safegene_registry.lock_repository import insert_missing
from safegene_registry.log import get_logger
from safegene_registry.migrate import newest_revision
from safegene_registry.models import Blob
from safegene_registry.services import Services
from safegene_registry.sweeping import BATCH

log = get_logger("safegene_registry.care.restore")


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restoration has done."""

    snapshot: Snapshot
    versions: int
    blobs: int
    copied: int
    """Blobs that the store did not have yet."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "snapshot": self.snapshot.path.name,
            "taken_at": self.snapshot.taken_at,
            "versions": self.versions,
            "blobs": self.blobs,
            "copied": self.copied,
            "damaged": list(self.snapshot.damaged),
        }


def restore(services: Services, directory: Path, name: str | None = None) -> Restored:
    """Make a backup the content of an empty registry.

    Args:
        services: the process's parts.
        directory: of the backup.
        name: of the snapshot; None: the newest.

    Raises:
        BackupError: the backup is not whole or of another schema, or the registry is
            not empty.
        ProblemError: the database or a store cannot be used now.
    """
    snapshot = find_snapshot(directory, name)
    check_schema(snapshot)
    snapshot.check()
    rows_of_all = sizes_in(snapshot, purged_too=True)
    sizes = sizes_in(snapshot, purged_too=False)
    with services.database.reading() as session:
        check_empty(services, table_repository.filled_tables(session))
        check_blobs(services, check_repository.all_blobs(session), rows_of_all)
    claim_blobs(services, rows_of_all)
    source = DirectoryBlobStore(directory)
    copied, damaged = copy_blobs(source, services.store, sizes, prove=True)
    lost = sorted({str(digest) for digest in damaged} - set(snapshot.damaged))
    if lost:
        message = (
            f"{directory}: {len(lost)} blobs are missing or damaged, the first is"
            f" {lost[0]}; nothing was restored: bring them back, or use another backup"
        )
        raise BackupError(message)
    load(services, snapshot)
    rows = {table.name: table.rows for table in snapshot.tables}
    log.info("restored", snapshot=snapshot.path.name, versions=rows["versions"])
    return Restored(snapshot, rows["versions"], len(sizes), len(copied))


def check_schema(snapshot: Snapshot) -> None:
    """Refuse rows of other tables than this program's."""
    tables = {table.name for table in snapshot.tables}
    known = {table.name for table in table_repository.kept_tables()}
    if snapshot.schema != newest_revision() or tables != known:
        message = (
            f"{snapshot.path}: its tables are of revision {snapshot.schema}, this"
            f" version of safegene has {newest_revision()}: restore with the version"
            " that made it, then migrate"
        )
        raise BackupError(message)


def check_empty(services: Services, filled: Sequence[str]) -> None:
    """Refuse a registry in which there is something."""
    there = [name for name in filled if name != Blob.__tablename__]
    if there:
        message = (
            f"{services.database.place} is not empty: it has {', '.join(there)};"
            " restore into an empty database"
        )
        raise BackupError(message)


def check_blobs(
    services: Services, there: Mapping[str, int], sizes: Mapping[Digest, int]
) -> None:
    """Refuse rows of blobs that an interrupted restoration cannot have left."""
    strange = there.keys() - {str(digest) for digest in sizes}
    if strange:
        message = (
            f"{services.database.place} is not empty: it has the blob {min(strange)},"
            " which the backup has not; restore into an empty database"
        )
        raise BackupError(message)


def claim_blobs(services: Services, sizes: Mapping[Digest, int]) -> None:
    """Keep sweeps away from what is about to be restored."""
    for batch in batches(sizes, BATCH):
        with services.database.writing() as session:
            removals.keep_blobs(session, batch)
            rows = {str(digest): {"size_bytes": sizes[digest]} for digest in batch}
            insert_missing(session, Blob.digest, rows)


def load(services: Services, snapshot: Snapshot) -> None:
    """Insert every row but those of the blobs, all or none."""
    with services.database.writing() as session:
        table_repository.lock_restoring(session)
        check_empty(services, table_repository.filled_tables(session))
        for table in table_repository.kept_tables():
            if table.name != Blob.__tablename__:
                for rows in batches(snapshot.rows(table.name), BATCH):
                    table_repository.add_rows(session, table, rows)
