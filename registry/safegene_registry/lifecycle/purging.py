"""Purging: a version's bytes are removed for good, by law or after an accident.

The version's rows stay, and a tombstone with who, when and why: its number is never
used again, and whoever asks for it is told. It is yanked, if it was not, so that
nothing means it any more; aliases that point at it are removed. All that is one
transaction, which locks the blobs first, so that no publication counts on them
meanwhile. Only then are those removed that no other version names, as leftovers are
(`removals`): what cannot be removed now is removed by who asks again, or by the next
sweep.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from safegene.artifact.digest import Digest
from safegene.artifact.reference import VectorName, canonical_version
from safegene_registry import (
    catalog,
    lock_repository,
    publishing_repository,
    removals,
    repositories,
)
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.guards import Access
from safegene_registry.lifecycle import alias_repository
from safegene_registry.lifecycle.aliases import say
from safegene_registry.lifecycle.schemas import PurgedVersion, PurgeRequest
from safegene_registry.lifecycle.yanking import settle_head
from safegene_registry.log import get_logger
from safegene_registry.models import Purge, Version
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.removals import RETRY_SECONDS
from safegene_registry.schemas import Purged
from safegene_registry.services import Services

log = get_logger("safegene_registry.lifecycle.purging")


def purge(
    services: Services,
    access: Access,
    vector: VectorName,
    version: str,
    wanted: PurgeRequest,
) -> PurgedVersion:
    """Remove a version's bytes for good; the same again removes what was left.

    Args:
        services: the process's parts.
        access: who does.
        vector: whose version it is.
        version: in any spelling.
        wanted: its digest, and why.

    Raises:
        ProblemError: `not-found`; `invalid-request`: the version has another digest;
            `storage-unavailable`: it is purged, but bytes could not be removed now.
    """
    with services.database.reading() as session:
        digests = files_of(session, find(session, vector, version, wanted))
    with services.database.writing() as session:
        lock_repository.lock_blobs_alone(session, map(str, digests))
        lock_repository.lock_vector(session, vector)
        found = find(session, vector, version, wanted)
        tombstone = found.purge
        is_new = tombstone is None
        if tombstone is None:
            tombstone = bury(
                session, access, vector, found, reason=wanted.reason, at=services.now()
            )
    if is_new:
        log.warning(
            "version_purged",
            vector=str(vector),
            version=found.version,
            digest=found.digest,
            reason=tombstone.reason,
            principal_id=str(access.caller.token_id),
        )
    removals.remove_unnamed(services, digests)
    return PurgedVersion(
        namespace=vector.namespace,
        name=vector.name,
        version=found.version,
        digest=found.digest,
        purged=Purged(at=tombstone.purged_at, reason=tombstone.reason),
        kept=sorted(left(services, digests)),
    )


def find(
    session: Session, vector: VectorName, version: str, wanted: PurgeRequest
) -> Version:
    """The version, purged or not, if it has the digest that is named."""
    canonical = canonical_version(version)
    found = repositories.find_version(session, vector, version=canonical)
    if found is None:
        raise catalog.no_version(vector, canonical)
    if found.digest != wanted.digest:
        detail = (
            f"{vector}@{found.version} is {found.digest}, not {wanted.digest}. Nothing"
            " was purged."
        )
        fault = Fault("/digest", "is that of no or another version")
        raise ProblemError(detail, "invalid-request", faults=[fault])
    return found


def files_of(session: Session, version: Version) -> list[Digest]:
    """The blobs that a version names."""
    files = repositories.list_files(session, version.id)
    return [Digest.parse(name) for name in sorted({file.digest for file in files})]


def bury(
    session: Session,
    access: Access,
    vector: VectorName,
    version: Version,
    *,
    reason: str,
    at: datetime,
) -> Purge:
    """Write the tombstone, and have nothing mean the version any more."""
    caller, reason = access.caller, reason.strip()
    for alias in alias_repository.aliases_of(session, version.id):
        alias_repository.remove_alias(session, alias, token_id=caller.token_id, at=at)
        say(session, access, vector, None, alias=alias.name, before=version.version)
    if not catalog.is_yanked(version):
        publishing_repository.set_yank(session, version, at, f"purged: {reason}")
    tombstone = Purge(
        version_id=version.id, reason=reason, token_id=caller.token_id, purged_at=at
    )
    publishing_repository.add_purge(session, tombstone)
    settle_head(session, version)
    record(
        session,
        vector.namespace,
        Kind.VERSION_PURGED,
        by=caller,
        vector=vector.name,
        version=version.version,
        digest=version.digest,
        reason=reason,
    )
    return tombstone


def left(services: Services, digests: list[Digest]) -> set[str]:
    """Those of the blobs that other versions name.

    Raises:
        ProblemError: `storage-unavailable`: another one is still there.
    """
    with services.database.reading() as session:
        known = publishing_repository.known_blobs(session, map(str, digests))
    for digest in digests:
        if str(digest) not in known and services.store.find(digest) is not None:
            detail = (
                f"The version is purged, but {digest} could not be removed now; ask"
                " again, or let `safegene-registry gc` remove it."
            )
            headers = {"Retry-After": str(RETRY_SECONDS)}
            raise ProblemError(detail, "storage-unavailable", headers=headers)
    return known
