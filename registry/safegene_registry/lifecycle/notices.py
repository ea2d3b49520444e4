"""What is said of versions after they were published, as the interface shows it."""

from safegene.artifact.reference import best_version
from safegene_registry.models import Advisory, Deprecation, Purge, VersionDeprecation
from safegene_registry.schemas import AdvisoryNote, Deprecated, Purged


def purged(row: Purge | None) -> Purged | None:
    """Why a version's bytes are gone, as the interface shows it; None: they are not."""
    return None if row is None else Purged(at=row.purged_at, reason=row.reason)


def deprecated(row: Deprecation | None) -> Deprecated | None:
    """Why something should not be used, as the interface shows it; None: it may be."""
    return None if row is None else deprecated_by(row)


def deprecated_by(row: Deprecation) -> Deprecated:
    """Why something should not be used, as the interface shows it."""
    return Deprecated(
        of="version" if isinstance(row, VersionDeprecation) else "vector",
        at=row.deprecated_at,
        message=row.message,
        successor=row.successor,
    )


def concerns(advisory: Advisory, version: str) -> bool:
    """Whether a version is in the range that an advisory is about."""
    return best_version([version], advisory.affected) is not None


def advisory_note(advisory: Advisory) -> AdvisoryNote:
    """An advisory in short, as the interface shows it."""
    return AdvisoryNote.model_validate(
        {name: getattr(advisory, name) for name in AdvisoryNote.model_fields}
    )
