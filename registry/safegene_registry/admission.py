"""May this version come in: sizes, rights, the namespace's quota, the version's name.

Asked when an upload is opened, so that nobody sends bytes in vain, and once more in the
transaction that publishes it, since all but the sizes may have changed meanwhile.
"""

from sqlalchemy.orm import Session

from safegene.artifact.manifest import Manifest
from safegene_registry import repositories
from safegene_registry.access import Principal
from safegene_registry.guards import admit, find_standing, publishing_action
from safegene_registry.membership import check_quota
from safegene_registry.models import Version
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services


def check_publishing(
    services: Services, session: Session, principal: Principal, manifest: Manifest
) -> Version | None:
    """Make sure that the caller may publish this, and that there is room for it.

    Returns:
        The version if exactly this manifest is published.

    Raises:
        ProblemError: as of `open_upload`.
    """
    standing = find_standing(services, session, principal, manifest.namespace)
    hidden = f"There is no namespace {manifest.namespace}."
    admit(publishing_action(standing), standing, hidden)
    existing = published_version(session, manifest)
    if existing is None:
        check_quota(
            session,
            manifest.namespace,
            manifest.size_bytes,
            default=services.settings.namespace_quota_bytes,
        )
    return existing


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
    """The version if exactly this manifest is published; a conflict if another is."""
    existing = repositories.find_version(
        session, manifest.vector, version=manifest.version
    )
    if existing is not None and existing.digest != str(manifest.digest):
        detail = (
            f"{manifest.vector}@{manifest.version} is already published as "
            f"{existing.digest}; this manifest is {manifest.digest}."
        )
        raise ProblemError(detail, "version-exists")
    return existing
