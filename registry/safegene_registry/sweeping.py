"""Clearing away what refusals, cancellations and crashes leave behind."""

from safegene_registry import repositories
from safegene_registry.log import get_logger
from safegene_registry.services import Services

log = get_logger("safegene_registry.sweeping")

SWEEP_LIMIT = 20
"""Expired uploads that one opening request clears away: a bounded share of the work."""

LEFTOVER_LIMIT = 10_000
"""Expired uploads that a start clears away at most; requests get the rest."""


def remove_expired(services: Services, *, limit: int) -> int:
    """Drop uploads whose time is over, with everything they staged.

    Returns:
        How many were dropped.
    """
    now = services.now()
    with services.database.reading() as session:
        if not repositories.expired_uploads(session, now, 1):
            return 0
    with services.database.writing() as session:
        expired = repositories.expired_uploads(session, now, limit)
        for upload_id in expired:
            repositories.delete_upload(session, upload_id)
    for upload_id in expired:
        services.store.discard(upload_id)
    log.info("uploads_expired", count=len(expired))
    return len(expired)


def remove_leftovers(services: Services) -> None:
    """Drop what a crash may have left: expired uploads, staging areas of none."""
    remove_expired(services, limit=LEFTOVER_LIMIT)
    with services.database.reading() as session:
        known = repositories.upload_ids(session)
    before = services.now() - services.settings.upload_ttl
    removed = services.store.discard_strays(known, before)
    if removed:
        log.info("stray_uploads_removed", count=removed)
