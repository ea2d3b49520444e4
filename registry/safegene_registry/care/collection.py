"""`gc`: clearing away what nobody needs, once and now, and saying what is left of it.

`sweeping` finds it and `removals` takes it; why neither ever takes a blob of a version,
whoever publishes meanwhile, is told in docs/adr (collection beside publishing).
"""

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from safegene_registry.services import Services
from safegene_registry.sweeping import Leftover, remove_leftovers, remove_orphans


@dataclass(frozen=True, slots=True)
class Collection:
    """What one run has done, or would do."""

    dry_run: bool
    grace: timedelta
    removed: list[Leftover]
    """What has gone; in a dry run, what would go."""
    kept: list[Leftover]
    """Blobs that should have gone and are still there: the store would not."""

    @property
    def freed_bytes(self) -> int:
        """Sizes of the blobs in `removed`."""
        return sum(leftover.size_bytes for leftover in self.removed)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "dry_run": self.dry_run,
            "grace_seconds": self.grace.total_seconds(),
            "removed": [dataclasses.asdict(leftover) for leftover in self.removed],
            "freed_bytes": self.freed_bytes,
            "kept": [dataclasses.asdict(leftover) for leftover in self.kept],
        }


def collect(
    services: Services, *, grace: timedelta | None = None, dry_run: bool = False
) -> Collection:
    """Clear away expired uploads, strays, and blobs that no version names.

    Args:
        services: the process's parts.
        grace: leave blobs that an upload has written within it; None: `BLOB_GRACE`.
        dry_run: remove nothing, only say what would be.

    Raises:
        ProblemError: the database or the store cannot be asked now.
    """
    chosen = services.settings.blob_grace if grace is None else grace
    settings = services.settings.model_copy(update={"blob_grace": chosen})
    # One moment for both looks: what comes after it is no business of this run.
    moment = services.now()
    fixed = dataclasses.replace(services, settings=settings, now=lambda: moment)
    removed = remove_leftovers(fixed, dry_run=dry_run)
    kept = [] if dry_run else remove_orphans(fixed, dry_run=True)
    return Collection(dry_run, chosen, removed, kept)
