"""Clearing away what refusals, cancellations and crashes leave behind.

At start and with `safegene-registry gc`: expired uploads with all they staged, staging
areas of no upload, and *orphans*, final blobs that no published version names. Refused
and cancelled uploads take back at once what they alone have promoted.

Why a sweep never takes a blob from a version. A final blob is removed only inside a
write transaction that has seen no version name it. A version is published only inside a
write transaction that has seen all its blobs in place. Write transactions exclude each
other, between processes too (`BEGIN IMMEDIATE`; a database with several writers will
need a lock around these two). So either the sweep sees the version and leaves its blobs
alone, or the publication sees the hole and rolls back, and begins anew: of every blob
that no version names it has a staged copy until it is published. Ages play no part in
this; the grace period only spares uploads in progress the second round.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from safegene.artifact.digest import Digest
from safegene_registry import repositories
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services

log = get_logger("safegene_registry.sweeping")

SWEEP_LIMIT = 20
"""Expired uploads that one opening request clears away: a bounded share of the work."""

LEFTOVER_LIMIT = 10_000
"""Expired uploads that a start clears away at most; requests get the rest."""

BATCH = 500
"""Blobs that one statement asks about."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that was cleared away, or would be."""

    kind: str
    """`upload`, `staging` or `blob`."""
    name: str
    size_bytes: int = 0
    """Of a blob."""


def remove_leftovers(services: Services, *, dry_run: bool = False) -> list[Leftover]:
    """Clear away everything that nobody needs any more.

    Args:
        services: the process's parts.
        dry_run: remove nothing, only say what would be.
    """
    # By name: an expired upload's blob may be an orphan as well.
    found = {
        leftover.name: leftover
        for leftovers in (
            remove_expired(services, limit=LEFTOVER_LIMIT, dry_run=dry_run),
            remove_strays(services, dry_run=dry_run),
            remove_orphans(services, dry_run=dry_run),
        )
        for leftover in leftovers
    }
    return list(found.values())


def remove_expired(
    services: Services, *, limit: int, dry_run: bool = False
) -> list[Leftover]:
    """Drop uploads whose time is over, with everything they staged or promoted."""
    now = services.now()
    with services.database.reading() as session:
        expired = repositories.expired_uploads(session, now, limit)
    if expired and not dry_run:
        with services.database.writing() as session:
            expired = repositories.expired_uploads(session, now, limit)
            for upload_id in expired:
                repositories.delete_upload(session, upload_id)
    removed = []
    for upload_id in expired:
        removed.append(Leftover("upload", str(upload_id)))
        removed += withdraw_blobs(services, upload_id, dry_run=dry_run)
        if not dry_run:
            services.store.discard(upload_id)
    if expired and not dry_run:
        log.info("uploads_expired", count=len(expired))
    return removed


def remove_strays(services: Services, *, dry_run: bool = False) -> list[Leftover]:
    """Drop old staging areas that belong to no upload."""
    with services.database.reading() as session:
        known = repositories.upload_ids(session)
    before = services.now() - services.settings.upload_ttl
    names = services.store.discard_strays(known, before, dry_run=dry_run)
    if names and not dry_run:
        log.info("stray_uploads_removed", count=len(names))
    return [Leftover("staging", name) for name in names]


def remove_orphans(services: Services, *, dry_run: bool = False) -> list[Leftover]:
    """Remove final blobs that no version names and nobody promoted of late."""
    before = services.now() - services.settings.blob_grace
    removed = []
    for digest in unreferenced(services, services.store.untouched(before)):
        if dry_run:
            size = size_of(services, digest)
        else:
            # One by one: publishers wait for the removal of one blob at most.
            size = remove_unreferenced(services, digest, before=before)
        if size is not None:
            removed.append(Leftover("blob", str(digest), size))
    if removed and not dry_run:
        size = sum(blob.size_bytes for blob in removed)
        log.info("orphans_removed", count=len(removed), size_bytes=size)
    return removed


def unreferenced(services: Services, digests: Iterator[Digest]) -> Iterator[Digest]:
    """Those of the blobs that no published version names at the moment."""
    while batch := list(islice(digests, BATCH)):
        with services.database.reading() as session:
            known = repositories.known_blobs(session, map(str, batch))
        yield from (digest for digest in batch if str(digest) not in known)


def remove_unreferenced(
    services: Services, digest: Digest, *, before: datetime
) -> int | None:
    """Remove a blob unless a version has come to name it, or an upload to hold it.

    Returns:
        Its size, None when it stays.
    """
    try:
        with services.database.writing() as session:
            if repositories.known_blobs(session, [str(digest)]):
                return None
            return services.store.remove(digest, before=before)
    except ProblemError:
        # The next sweep tries again; the others need not wait for it.
        log.exception("orphan_kept", digest=str(digest))
        return None


def size_of(services: Services, digest: Digest) -> int | None:
    """Size of a final blob, None when it is not there."""
    found = services.store.find(digest)
    return None if found is None else found.size


def withdraw_blobs(
    services: Services, upload_id: UUID, *, dry_run: bool = False
) -> list[Leftover]:
    """Take back what an upload that will not be published has promoted.

    Call it before the staging area is discarded. Blobs that somebody else has promoted
    since, or that a version names, stay.
    """
    store = services.store
    transaction = services.database.reading if dry_run else services.database.writing
    try:
        if not store.promoted(upload_id):
            return []
        with transaction() as session:
            mine = store.promoted(upload_id)
            known = repositories.known_blobs(session, map(str, mine))
            unnamed = [digest for digest in mine if str(digest) not in known]
            sizes = [
                size_of(services, digest) if dry_run else store.remove(digest)
                for digest in unnamed
            ]
    except ProblemError:
        # The sweep takes them later; what is to be answered now is something else.
        log.exception("promoted_blobs_kept", upload_id=str(upload_id))
        return []
    return [
        Leftover("blob", str(digest), size)
        for digest, size in zip(unnamed, sizes, strict=True)
        if size is not None
    ]
