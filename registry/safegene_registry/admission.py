"""May this version come in: sizes, rights, the namespace's quota, the version's name.

Asked when an upload is opened, so that nobody sends bytes in vain, and once more in the
transaction that publishes it, since all but the sizes may have changed meanwhile: the
token may be revoked, its account no member any more.
"""

from sqlalchemy.orm import Session

from safegene.artifact.manifest import Manifest
from safegene_registry import access_repository, repositories, reservation_repository
from safegene_registry.access import Principal
from safegene_registry.auth import check_not_revoked
from safegene_registry.catalog import refuse_purged
from safegene_registry.guards import admit, find_standing, publishing_action
from safegene_registry.membership import check_quota, quota_of
from safegene_registry.models import Version
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services


def check_opening(
    services: Services, session: Session, principal: Principal, manifest: Manifest
) -> Version | None:
    """Make sure that the caller may publish this, and that there is room for it.

    Returns:
        The version if exactly this manifest is published.

    Raises:
        ProblemError: as of `open_upload`.
    """
    existing = check_publishing(services, session, principal, manifest)
    if existing is None:
        limit = quota_limit(services, session, manifest)
        if limit is not None:
            reserved = reservation_repository.reserved_bytes(
                session,
                manifest.namespace,
                now=services.now(),
                account_id=principal.account_id,
                beside=manifest,
            )
            check_quota(
                session, manifest.namespace, manifest.size_bytes, reserved, limit
            )
    return existing


def check_publishing(
    services: Services, session: Session, principal: Principal, manifest: Manifest
) -> Version | None:
    """Make sure that the caller may publish this.

    Returns:
        The version if exactly this manifest is published.

    Raises:
        ProblemError: the caller may not, or `version-exists`.
    """
    check_rights(services, session, principal, manifest.namespace)
    return published_version(session, manifest)


def confirm_publishing(
    services: Services, session: Session, principal: Principal, manifest: Manifest
) -> None:
    """Ask for the last time, and keep the answer true until the transaction ends.

    Whoever revokes the token or removes the member meanwhile waits for that end. So
    once they are told that it is done, nothing appears any more.

    Raises:
        ProblemError: the caller may not any more, or `quota-exceeded`.
    """
    check_not_revoked(session, principal)
    access_repository.hold_members(session, manifest.namespace)
    check_rights(services, session, principal, manifest.namespace)
    # It has reserved its room; but the quota may be smaller by now, or its time over.
    limit = quota_limit(services, session, manifest)
    if limit is not None:
        check_quota(session, manifest.namespace, manifest.size_bytes, 0, limit)


def check_rights(
    services: Services, session: Session, principal: Principal, namespace: str
) -> None:
    """Make sure that the caller may publish into a namespace."""
    standing = find_standing(services, session, principal, namespace)
    hidden = f"There is no namespace {namespace}."
    admit(publishing_action(standing), standing, hidden)


def quota_limit(services: Services, session: Session, manifest: Manifest) -> int | None:
    """Most that the namespace may hold; nobody else asks until the transaction ends."""
    default = services.settings.namespace_quota_bytes
    return quota_of(session, manifest.namespace, default=default)


def check_sizes(services: Services, manifest: Manifest) -> None:
    """Refuse what this registry would not store, before a byte of it is sent."""
    settings = services.settings
    for entry in manifest.files:
        if entry.size > settings.max_file_bytes:
            detail = (
                f"{entry.path} has {entry.size} bytes; this registry takes files of "
                f"at most {settings.max_file_bytes}."
            )
            raise ProblemError(detail, "payload-too-large")
    if manifest.size_bytes > settings.max_version_bytes:
        detail = (
            f"The version has {manifest.size_bytes} bytes; this registry takes "
            f"at most {settings.max_version_bytes}."
        )
        raise ProblemError(detail, "payload-too-large")


def published_version(session: Session, manifest: Manifest) -> Version | None:
    """The version if exactly this manifest is published; a conflict if another is.

    The number of a version that was purged is never used again.

    Raises:
        ProblemError: `version-exists` or `version-purged`.
    """
    existing = repositories.find_version(
        session, manifest.vector, version=manifest.version
    )
    if existing is not None:
        refuse_purged(manifest.vector, existing)
    if existing is not None and existing.digest != str(manifest.digest):
        detail = (
            f"{manifest.vector}@{manifest.version} is already published as "
            f"{existing.digest}; this manifest is {manifest.digest}."
        )
        raise ProblemError(detail, "version-exists")
    return existing
