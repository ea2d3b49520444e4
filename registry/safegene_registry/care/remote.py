"""What another registry says, as a mirror reads it: plain values out of its JSON.

Each function raises whatever comes of a shape that no registry has; whoever asks turns
that into an `UpstreamError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from safegene.artifact.digest import Digest
from safegene.artifact.reference import VectorName, canonical_version, check_part
from safegene_registry.events.kinds import Kind

ADVISORY = ("severity", "affected", "summary", "details", "fixed_in")


@dataclass(frozen=True, slots=True)
class Remark:
    """What is said of a version or a vector that should not be used any more."""

    at: datetime
    message: str
    successor: str | None


@dataclass(frozen=True, slots=True)
class RemoteAlias:
    """Where an alias points there."""

    name: str
    version: str
    moved_at: datetime
    is_yanked: bool
    """While the version is, the alias means nothing."""


@dataclass(frozen=True, slots=True)
class RemoteAdvisory:
    """What is known to be wrong with some versions of a vector."""

    content: Mapping[str, Any]
    """What its publisher has said."""
    published_at: datetime
    withdrawal: str | None
    """Why it does not stand any more; None: it does."""


@dataclass(frozen=True, slots=True)
class RemoteVersion:
    """A version as the other registry lists it."""

    vector: VectorName
    version: str
    digest: str
    yanked_at: datetime | None
    yank_reason: str | None
    deprecated: Remark | None = None

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.vector}@{self.version}"

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/v1/vectors/{self.vector}/versions/{self.version}"


@dataclass(frozen=True, slots=True)
class RemoteAttestation:
    """Something that is said of a version there."""

    digest: Digest
    """Of its envelope."""
    posted_at: datetime


@dataclass(slots=True)
class News:
    """What the events of a namespace tell, from a position on."""

    last: int
    """Position of the last event that is known."""
    vectors: set[str] = field(default_factory=set)
    """Those that something has changed about."""
    attested: dict[str, set[str]] = field(default_factory=dict)
    """By vector, the versions that something was said of."""

    def add(self, page: Mapping[str, Any]) -> None:
        """Take in a page of events."""
        for event in page["items"]:
            vector = event["vector"]
            if vector:
                self.vectors.add(vector)
            if event["kind"] == Kind.ATTESTED:
                self.attested.setdefault(vector, set()).add(event["version"])
        self.last = int(page["last"])


def version_of(vector: VectorName, item: Mapping[str, Any]) -> RemoteVersion:
    """A version, as a list of them shows it."""
    yanked = item.get("yanked")
    at = datetime.fromisoformat(yanked["at"]) if yanked else None
    reason = str(yanked["reason"]) if yanked else None
    digest, canonical = str(item["digest"]), canonical_version(item["version"])
    said = remark_of(item, about="version")
    return RemoteVersion(vector, canonical, digest, at, reason, said)


def remark_of(item: Mapping[str, Any], *, about: str) -> Remark | None:
    """What is said of something that should not be used, if it is about that."""
    said = item.get("deprecated")
    if said is None or said["of"] != about:
        return None
    at, message = datetime.fromisoformat(said["at"]), str(said["message"])
    return Remark(at, message, said["successor"])


def alias_of(item: Mapping[str, Any]) -> RemoteAlias:
    """An alias, as a list of them shows it."""
    return RemoteAlias(
        check_part(item["alias"], "alias"),
        canonical_version(item["version"]),
        datetime.fromisoformat(item["moved_at"]),
        item.get("yanked") is not None,
    )


def advisory_of(item: Mapping[str, Any]) -> RemoteAdvisory:
    """An advisory, as a list of them shows it."""
    return RemoteAdvisory(
        {name: item[name] for name in ADVISORY},
        datetime.fromisoformat(item["published_at"]),
        item["withdrawn"] and str(item["withdrawn"]["reason"]),
    )


def attestation_of(item: Mapping[str, Any]) -> RemoteAttestation:
    """An attestation, as a list of them shows it."""
    # Compared with other times, which have a zone.
    at = datetime.fromisoformat(item["posted_at"]).astimezone(UTC)
    return RemoteAttestation(Digest.parse(item["digest"]), at)
