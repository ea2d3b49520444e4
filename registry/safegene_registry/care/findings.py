"""What checking a registry can find, and what to do about each.

*Damage* is what some version does not hold any more, or a row that is wrong.
*Leftovers* are nobody's: `gc` takes them.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a finding is."""

    MISSING = "missing"
    TRUNCATED = "truncated"
    WRONG_SIZE = "wrong-size"
    FLIPPED = "flipped"
    WRONG_SEGMENT = "wrong-segment"
    WRONG_CONTENT = "wrong-content"
    WRONG_MANIFEST = "wrong-manifest"
    UNREADABLE = "unreadable"
    WRONG_ENVELOPE = "wrong-envelope"
    WRONG_SUBJECT = "wrong-subject"
    WRONG_SIGNATURE = "wrong-signature"
    WRONG_FIGURES = "wrong-figures"
    WRONG_STANDING = "wrong-standing"
    BROKEN_CHAIN = "broken-chain"
    DANGLING_ALIAS = "dangling-alias"
    DANGLING_ROW = "dangling-row"
    ORPHAN_ROW = "orphan-row"
    MISPLACED = "misplaced"
    ORPHAN_BLOB = "orphan-blob"
    STALE_UPLOAD = "stale-upload"


LEFTOVERS = frozenset({Kind.ORPHAN_BLOB, Kind.STALE_UPLOAD})
"""Kinds that `gc` clears away by itself."""

BRING_BACK = "copy its bytes back from a backup of `blobs/`, under the same key"

WRONG_ROWS = (
    "the rows of an attestation were changed by hand or by a fault of the database's"
    " disk: restore the database from a backup; until then `safegene evaluator"
    " distrust` keeps it from counting"
)

REMEDIES = {
    Kind.MISSING: BRING_BACK,
    Kind.TRUNCATED: f"`fsck --repair` sets it aside; {BRING_BACK}",
    Kind.WRONG_SIZE: f"`fsck --repair` sets it aside; {BRING_BACK}",
    Kind.FLIPPED: f"`fsck --repair` sets it aside; {BRING_BACK}",
    Kind.WRONG_SEGMENT: "the bytes are right and the manifest is wrong about their"
    " ranges: yank the version and publish it anew under another number",
    Kind.WRONG_CONTENT: "the bytes are those that were published, and no servable"
    " version: yank it and publish it anew under another number",
    Kind.WRONG_MANIFEST: "rows of a version were changed by hand or by a fault of the"
    " database's disk: restore the database from a backup",
    Kind.UNREADABLE: "the store does not give its bytes: look at its disk, then again",
    Kind.WRONG_ENVELOPE: WRONG_ROWS,
    Kind.WRONG_SUBJECT: WRONG_ROWS,
    Kind.WRONG_SIGNATURE: WRONG_ROWS,
    Kind.WRONG_FIGURES: WRONG_ROWS,
    Kind.WRONG_STANDING: "searches rank it by another evaluation than its best that"
    " counts: `fsck --repair` finds that anew",
    Kind.BROKEN_CHAIN: "somebody has changed what was written down: docs/events.md",
    Kind.DANGLING_ALIAS: "move the alias to a version that is there",
    Kind.DANGLING_ROW: "rows were lost: restore the database from a backup",
    Kind.ORPHAN_ROW: "`fsck --repair` drops the row; `gc` then takes the blob",
    Kind.MISPLACED: "nothing looks for it there: `fsck --repair` sets it aside",
    Kind.ORPHAN_BLOB: "no version names it: `safegene-registry gc` takes it",
    Kind.STALE_UPLOAD: "its time is over: `safegene-registry gc` takes it",
}
"""The plan: what to do about each kind."""

WRONG_ROW = "`fsck --repair` corrects the row"
"""What to do where the row has the wrong size, and the blob the right one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    kind: Kind
    name: str
    """Digest of the blob, key in the store, id of the upload, the version, or what was
    said of it."""
    detail: str
    versions: tuple[str, ...] = ()
    """Some of those that need it, or that it is about."""
    key: str | None = None
    """Of what can be set aside."""
    expected_bytes: int | None = None
    """Size that the manifests say."""
    remedy: str = ""

    @property
    def plan(self) -> str:
        """What to do about it."""
        return self.remedy or REMEDIES[self.kind]

    @property
    def is_damage(self) -> bool:
        """Whether it is more than a leftover."""
        return self.kind not in LEFTOVERS

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kind": str(self.kind),
            "name": self.name,
            "detail": self.detail,
            "versions": list(self.versions),
            "plan": self.plan,
        }


@dataclass(slots=True)
class Report:
    """What a check has looked at and found."""

    versions: int = 0
    attestations: int = 0
    blobs: int = 0
    """Final keys that versions name."""
    hashed: int = 0
    hashed_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)
    mended: list[Finding] = field(default_factory=list)
    """Those of the findings that a repair has done away with."""
    done: list[str] = field(default_factory=list)
    """What a repair has done, one sentence each."""

    @property
    def left(self) -> list[Finding]:
        """The findings that nothing was done about, or not enough."""
        return [finding for finding in self.findings if finding not in self.mended]

    @property
    def is_damaged(self) -> bool:
        """Whether what is left is more than leftovers."""
        return any(finding.is_damage for finding in self.left)

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        return dict(Counter(str(finding.kind) for finding in self.findings))

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "versions": self.versions,
            "attestations": self.attestations,
            "blobs": self.blobs,
            "hashed": self.hashed,
            "hashed_bytes": self.hashed_bytes,
            "counts": self.counts(),
            "findings": [
                {**finding.document(), "is_mended": finding in self.mended}
                for finding in self.findings
            ],
            "done": self.done,
        }
