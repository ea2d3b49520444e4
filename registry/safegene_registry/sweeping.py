"""Clearing away what refusals, cancellations and crashes leave behind.

At start and with `safegene-registry gc`: expired uploads with all they staged, staging
areas of no upload, and *orphans*, final blobs that no published version names. Refused
and cancelled uploads take back at once what they alone have promoted.

A sweep never takes a blob from a version: `removals` says why. Several processes may
sweep at once, and beside others that publish.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from safegene.artifact.digest import Digest
from safegene_registry import publishing_repository, removals
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services

log = get_logger("safegene_registry.sweeping")

SWEEP_LIMIT = 20
"""Expired uploads that one opening request clears away: a bounded share of the work."""

LEFTOVER_LIMIT = 10_000
"""Expired uploads that a start clears away at most; requests get the rest."""

BATCH = 100
"""Blobs that one statement asks about, and one transaction locks."""


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
        expired = publishing_repository.expired_uploads(session, now, limit)
    if expired and not dry_run:
        with services.database.writing() as session:
            expired = publishing_repository.expired_uploads(
                session, now, limit, lock=True
            )
            for upload_id in expired:
                publishing_repository.delete_upload(session, upload_id)
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
        known = publishing_repository.upload_ids(session)
    before = services.now() - services.settings.upload_ttl
    names = services.store.discard_strays(known, before, dry_run=dry_run)
    if names and not dry_run:
        log.info("stray_uploads_removed", count=len(names))
    return [Leftover("staging", name) for name in names]


def remove_orphans(services: Services, *, dry_run: bool = False) -> list[Leftover]:
    """Remove final blobs that no version names and nobody promoted of late."""
    before = services.now() - services.settings.blob_grace
    removed = [] if dry_run else leftovers(resume_removals(services))
    for digests in unreferenced(services, services.store.untouched(before)):
        sizes = (
            sizes_of(services, digests)
            if dry_run
            else remove_or_leave(services, digests, before=before)
        )
        removed += leftovers(sizes)
    if removed and not dry_run:
        size = sum(blob.size_bytes for blob in removed)
        log.info("orphans_removed", count=len(removed), size_bytes=size)
    return removed


def unreferenced(
    services: Services, digests: Iterator[Digest]
) -> Iterator[list[Digest]]:
    """Those of the blobs that no published version names at the moment, in batches."""
    while batch := list(islice(digests, BATCH)):
        with services.database.reading() as session:
            known = publishing_repository.known_blobs(session, map(str, batch))
        yield [digest for digest in batch if str(digest) not in known]


def remove_or_leave(
    services: Services, digests: Collection[Digest], *, before: datetime | None = None
) -> dict[Digest, int]:
    """Remove those that no version names; what cannot be removed now stays.

    The next sweep tries again; whoever waits for an answer need not wait for it.
    """
    try:
        return removals.remove_unnamed(services, digests, before=before)
    except ProblemError:
        log.exception("blobs_kept", digests=[str(digest) for digest in digests])
        return {}


def resume_removals(services: Services) -> dict[Digest, int]:
    """Carry out what processes that died have begun; what cannot be stays."""
    try:
        return removals.resume(services)
    except ProblemError:
        log.exception("removals_kept")
        return {}


def sizes_of(services: Services, digests: Collection[Digest]) -> dict[Digest, int]:
    """Sizes of those final blobs that are there."""
    found = {digest: services.store.find(digest) for digest in digests}
    return {digest: blob.size for digest, blob in found.items() if blob is not None}


def leftovers(sizes: Mapping[Digest, int]) -> list[Leftover]:
    """Blobs as what was cleared away."""
    return [Leftover("blob", str(digest), size) for digest, size in sizes.items()]


def withdraw_blobs(
    services: Services, upload_id: UUID, *, dry_run: bool = False
) -> list[Leftover]:
    """Take back what an upload that will not be published has promoted.

    Call it before the staging area is discarded. Blobs that somebody else has promoted
    since, or that a version names, stay.
    """
    try:
        mine = services.store.promoted(upload_id)
    except ProblemError:
        # The sweep takes them later; what is to be answered now is something else.
        log.exception("promoted_blobs_kept", upload_id=str(upload_id))
        return []
    if not dry_run:
        return leftovers(remove_or_leave(services, mine))
    with services.database.reading() as session:
        known = publishing_repository.known_blobs(session, map(str, mine))
    unnamed = [digest for digest in mine if str(digest) not in known]
    return leftovers(sizes_of(services, unnamed))
