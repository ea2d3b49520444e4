"""Taking final blobs away without ever taking one from a published version.

A removal has three steps, each committed before the next begins:

1. In one transaction: lock the blobs, see that no published version names them, and
   write down that they are being removed.
2. Ask the store to remove them.
3. Strike out what was written down.

A version is published in one transaction, too, which holds the same locks (shared, so
that publishers do not wait for each other) and has seen that none of its blobs is being
removed and that all are in place. So either step 1 sees the version and leaves its
blobs alone, or the publication sees the removal or the hole, and begins anew: of every
blob that no version names it has a staged copy until it is published.

Why what is written down, when there are locks: a lock ends with the connection that
holds it, as when the database restarts, while a request to the store is still on its
way. Where a process dies in step 2, another takes over once it is certain that the
first one will not ask any more. Ages of blobs play no part in any of this; they only
spare uploads in progress a second round.
"""

import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from safegene.artifact.digest import Digest
from safegene_registry import (
    lock_repository,
    publishing_repository,
    removal_repository,
)
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services
from safegene_registry.verification import BlobGoneError

log = get_logger("safegene_registry.removals")

ASK_SECONDS = 30.0
"""How long after step 1 the store may still be asked to remove something."""

TAKE_OVER = timedelta(seconds=2 * ASK_SECONDS)
"""Age of a removal that its process will not go on with, and nor will the store."""

WAIT_SECONDS = 5.0
"""How long a publication waits for the end of a removal; most last milliseconds."""

POLL_SECONDS = 0.05

RETRY_SECONDS = 10
"""What a publisher is told to wait when a removal does not end."""

RESUME_LIMIT = 1000
"""Removals of dead processes that one sweep takes over."""


def remove_unnamed(
    services: Services, digests: Collection[Digest], *, before: datetime | None = None
) -> dict[Digest, int]:
    """Remove those of the blobs that no published version names.

    Args:
        services: the process's parts.
        digests: of the blobs; not more than a transaction can lock, a hundred or so.
        before: leave those that an upload has promoted since.

    Returns:
        The sizes of those removed.

    Raises:
        ProblemError: the database cannot do it now; a sweep takes over. The same goes
            for blobs that the store cannot remove now, without an error.
    """
    if not digests:
        return {}
    began = time.monotonic()
    names = [str(digest) for digest in digests]
    with services.database.writing() as session:
        lock_repository.lock_blobs_alone(session, names)
        now = removal_repository.database_time(session)
        running = removal_repository.find_removals(session, names)
        dead = [name for name, at in running.items() if at <= now - TAKE_OVER]
        removal_repository.strike_out(session, dead)
        kept = publishing_repository.known_blobs(session, names)
        kept |= running.keys() - set(dead)
        chosen = [digest for digest in digests if str(digest) not in kept]
        removal_repository.write_down(session, [str(digest) for digest in chosen], now)
    return carry_out(services, chosen, at=now, began=began, before=before)


def carry_out(
    services: Services,
    digests: Sequence[Digest],
    *,
    at: datetime,
    began: float,
    before: datetime | None,
) -> dict[Digest, int]:
    """Steps 2 and 3.

    Args:
        services: the process's parts.
        digests: of blobs whose removal is written down.
        at: the time that is written down with it.
        began: the moment before that, by the clock of `time.monotonic`.
        before: leave those that an upload has promoted since.
    """
    sizes: dict[Digest, int] = {}
    unanswered = set()
    for digest in digests:
        if time.monotonic() - began > ASK_SECONDS:
            break
        try:
            size = services.store.remove(
                digest, before=before, deadline=began + ASK_SECONDS
            )
        except ProblemError:
            # It may still carry it out: a sweep takes over.
            log.exception("blob_kept", digest=str(digest))
            unanswered.add(digest)
        else:
            if size is not None:
                sizes[digest] = size
    over = [str(digest) for digest in digests if digest not in unanswered]
    with services.database.writing() as session:
        removal_repository.strike_out(session, over, at=at)
    return sizes


def resume(services: Services) -> dict[Digest, int]:
    """Carry out what processes that died have left written down; sizes of the blobs."""
    with services.database.reading() as session:
        dead = removal_repository.removals_before(
            session,
            removal_repository.database_time(session) - TAKE_OVER,
            RESUME_LIMIT,
        )
    sizes: dict[Digest, int] = {}
    for name in dead:
        sizes |= remove_unnamed(services, [Digest.parse(name)])
    return sizes


def keep_blobs(session: Session, digests: Collection[Digest]) -> None:
    """Let none of these blobs be removed until the transaction ends.

    Raises:
        BlobGoneError: one already is being removed.
    """
    names = [str(digest) for digest in digests]
    lock_repository.lock_blobs(session, names)
    running = removal_repository.find_removals(session, names)
    if running:
        raise BlobGoneError(min(running))


def wait_for_end(services: Services, digests: Collection[Digest]) -> None:
    """Wait until none of these blobs is being removed.

    Raises:
        ProblemError: `storage-unavailable`; it takes too long.
    """
    names = [str(digest) for digest in digests]
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with services.database.reading() as session:
            running = removal_repository.find_removals(session, names)
            now = removal_repository.database_time(session)
        if not running:
            return
        dead = [name for name, at in running.items() if at <= now - TAKE_OVER]
        if dead:
            log.warning("removals_taken_over", count=len(dead))
            remove_unnamed(services, [Digest.parse(name) for name in dead])
        elif time.monotonic() > deadline:
            detail = f"Leftover blobs are being removed: {', '.join(sorted(running))}."
            headers = {"Retry-After": str(RETRY_SECONDS)}
            raise ProblemError(detail, "storage-unavailable", headers=headers)
        else:
            time.sleep(POLL_SECONDS)
