"""What an event is, and what its digest covers. No database.

An event's digest is that of its canonical JSON, which names the digest of the event
before it in the same namespace. So an event that was changed, left out, put in or moved
makes its own digest or that of the next one wrong. Stable: whoever keeps a digest of
the last event can check everything before it for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes


@dataclass(frozen=True, slots=True)
class Link:
    """One event at its place in the chain of its namespace."""

    namespace: str
    position: int
    """1 for the first of the namespace, and no gap after it."""
    kind: str
    at: datetime
    """By the clock of the process; the order is that of the positions."""
    actor: str
    """Name of the account that did it, or how it was done without one."""
    token_id: UUID | None
    """Of the token that was used."""
    vector: str | None
    """Name of the vector within the namespace, if it is about one."""
    version: str | None
    details: Mapping[str, Any]
    previous: str | None
    """Digest of the event before; None: this is the first."""

    def document(self) -> dict[str, Any]:
        """What the digest covers."""
        return {
            "namespace": self.namespace,
            "position": self.position,
            "kind": self.kind,
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "actor": self.actor,
            "token_id": None if self.token_id is None else str(self.token_id),
            "vector": self.vector,
            "version": self.version,
            "details": dict(self.details),
            "previous": self.previous,
        }

    def digest(self) -> str:
        """What the next event names."""
        return str(digest_bytes(canonical_json(self.document())))
