"""Yanking: a bad version leaves resolution at once, and no running machine breaks.

Who names it by its number or digest still gets it, with the reason (PEP 592). It can be
taken back. Aliases keep pointing at it, and mean nothing while they do: that is for
their owners to mend, who are told. The row of the version never changes: what does is
its state, and what its vector's heads point at, both in one transaction under the lock
of the vector, as publishing has it.
"""

from sqlalchemy.orm import Session

from safegene.artifact.reference import VectorName, best_version
from safegene_registry import catalog, publishing_repository, repositories
from safegene_registry.access import Principal
from safegene_registry.attestations import standing_repository
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.lifecycle import alias_repository
from safegene_registry.lifecycle.schemas import YankedVersion
from safegene_registry.lock_repository import lock_vector
from safegene_registry.log import get_logger
from safegene_registry.models import Version
from safegene_registry.promotion import promotion_repository
from safegene_registry.services import Services

log = get_logger("safegene_registry.lifecycle.yanking")


def yank(
    services: Services,
    principal: Principal,
    vector: VectorName,
    version: str,
    reason: str,
) -> YankedVersion:
    """Hide a version from resolution; the same again is a success.

    Args:
        services: the process's parts.
        principal: who does.
        vector: whose version it is.
        version: in any spelling.
        reason: shown to whoever names the version; another one replaces it.

    Raises:
        ProblemError: `not-found`.
    """
    return _change(services, principal, vector, version, reason.strip())


def unyank(
    services: Services, principal: Principal, vector: VectorName, version: str
) -> YankedVersion:
    """Let a version be resolved again; one that is not yanked stays as it is.

    Raises:
        ProblemError: `not-found`.
    """
    return _change(services, principal, vector, version, None)


def _change(
    services: Services,
    principal: Principal,
    vector: VectorName,
    version: str,
    reason: str | None,
) -> YankedVersion:
    with services.database.writing() as session:
        lock_vector(session, vector)
        found = catalog.find_version(session, vector, version)
        before = catalog.yank_of(found)
        changed = (before and before.reason) != reason
        if changed:
            since = before.at if before else services.now()
            at = None if reason is None else since
            publishing_repository.set_yank(session, found, at, reason)
            settle_head(session, found)
            yanked = reason is not None
            record(
                session,
                vector.namespace,
                Kind.VERSION_YANKED if yanked else Kind.VERSION_UNYANKED,
                by=principal,
                vector=vector.name,
                version=found.version,
                digest=found.digest,
                **({"reason": reason} if yanked else {}),
            )
        detail = catalog.version_detail(session, vector, found)
        aliases = alias_repository.aliases_of(session, found.id)
    if changed:
        log.info(
            "version_unyanked" if reason is None else "version_yanked",
            vector=str(vector),
            version=found.version,
            digest=found.digest,
            reason=reason,
            principal_id=str(principal.token_id),
        )
    return YankedVersion(
        **detail.model_dump(), aliases=[alias.name for alias in aliases]
    )


def settle_head(session: Session, version: Version) -> None:
    """Point at the newest version of the family again, after one has changed.

    What was said of that one counts as its evaluators are trusted now.
    """
    vector_id, fingerprint = version.vector_id, version.fingerprint
    head = repositories.find_head(session, vector_id, fingerprint)
    assert head is not None  # noqa: S101 - every published version has one
    standing = _versions(session, version, yanked=False)
    best = best_version(standing or _versions(session, version, yanked=True))
    assert best is not None  # noqa: S101 - the version itself is one of the two
    newest = repositories.versions_of_vectors(session, {vector_id: best})[vector_id]
    promotion_repository.hold_decisions(session, head.namespace)
    publishing_repository.point_head(session, head, newest, is_yanked=not standing)
    standing_repository.settle_head(session, vector_id, fingerprint)


def _versions(session: Session, version: Version, *, yanked: bool) -> list[str]:
    found = repositories.list_versions(
        session,
        [version.vector_id],
        fingerprint=version.fingerprint,
        yanked=yanked,
    )
    return list(found[version.vector_id])
