"""What a registry answers, as frozen models; unknown keys of newer ones are ignored."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from safegene.artifact.compatibility import Level, Reason
from safegene.artifact.manifest import BaseModelRef


class Answer(BaseModel):
    """Base of all."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ArchitectureSummary(Answer):
    """A family in short."""

    model_type: str
    layers: int
    hidden_size: int
    fingerprint: str


class LatestVersion(Answer):
    """The newest version of a vector."""

    version: str
    digest: str


class Yank(Answer):
    """Why and since when a version is hidden from resolution."""

    at: str
    reason: str


class Purge(Answer):
    """Why and since when a version's bytes are gone for good."""

    at: str
    reason: str


class Deprecation(Answer):
    """Why and since when a version, or its whole vector, should not be used."""

    of: str
    """`version` or `vector`."""
    at: str
    message: str
    successor: str | None = None
    """A reference to what should be used in its place."""


class AdvisoryNote(Answer):
    """What is known to be wrong with some versions of a vector, in short."""

    number: int
    severity: str
    """`low`, `moderate`, `high` or `critical`."""
    affected: str
    """The range of versions that have it."""
    summary: str
    fixed_in: str | None = None
    """The first version without it; None: there is none yet."""


class Range(Answer):
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class EvaluationFigures(Answer):
    """What the registry says that an evaluation comes down to."""

    against: str
    harmful_samples: int
    harmless_samples: int
    harm: Range
    j: Range
    over_refusal: Range


class CalibrationFigures(Answer):
    """What the registry says that a calibration gained and cost."""

    gain: Range
    kl: float


class BestEvaluation(EvaluationFigures):
    """Of a version's evaluations, the one whose J has the highest lower end."""

    version: str
    digest: str
    """Of its envelope: `Registry.attestations` proves what it says."""
    trusted: bool
    """Whether the namespace trusts who says so; all others only claim."""


class BestCalibration(CalibrationFigures):
    """Of a version's calibrations, the one whose gain has the highest lower end."""

    digest: str
    trusted: bool


class VectorSummary(Answer):
    """A vector as search lists it, described by its newest version."""

    namespace: str
    name: str
    description: str
    license: str
    base_model: BaseModelRef
    architecture: ArchitectureSummary
    rank: int
    latest: LatestVersion
    version_count: int
    evaluation: BestEvaluation | None = None
    """Of the newest, by whom the namespace trusts; None: there is none."""

    @property
    def vector(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


class VectorPage(Answer):
    """A page of a search."""

    items: tuple[VectorSummary, ...]
    next_cursor: str | None = None


class VersionEntry(Answer):
    """One version in a vector's list."""

    version: str
    digest: str
    yanked: Yank | None = None
    deprecated: Deprecation | None = None
    purged: Purge | None = None


class VectorDetail(VectorSummary):
    """A vector and all its versions."""

    deprecated: Deprecation | None = None
    """If no version of it should be used any more."""
    versions: tuple[VersionEntry, ...]
    """Newest first, as `Registry.describe` gives them."""
    next_cursor: str | None = None
    """What comes after them in the registry's list; None: nothing."""


class VersionPage(Answer):
    """A page of a vector's versions."""

    items: tuple[VersionEntry, ...]
    next_cursor: str | None = None


class RemoteFile(Answer):
    """One file of a version."""

    path: str
    digest: str
    size_bytes: int
    url: str


class ResolvedVersion(Answer):
    """One published version."""

    namespace: str
    name: str
    version: str
    digest: str
    size_bytes: int
    yanked: Yank | None = None
    deprecated: Deprecation | None = None
    advisories: tuple[AdvisoryNote, ...] = ()
    """Those that concern this version, the last one first."""
    files: tuple[RemoteFile, ...] = ()

    @property
    def identity(self) -> str:
        """`namespace/name@version`."""
        return f"{self.namespace}/{self.name}@{self.version}"


class YankedVersion(ResolvedVersion):
    """A version after it was yanked, or after that was taken back."""

    aliases: tuple[str, ...] = ()
    """Those that point at it; while it is yanked they mean nothing."""


class Match(Answer):
    """A vector's best version for a model, and how it compares."""

    namespace: str
    name: str
    version: str
    digest: str
    base_model: BaseModelRef
    level: Level
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()
    lineage: str | None = None
    """How alike the sketches are; None: they were not compared."""
    size_bytes: int | None = None
    """To be fetched; None: an older registry does not say."""
    evaluation: BestEvaluation | None = None
    """What it gains, by whom the namespace trusts, else as somebody claims."""
    calibration: BestCalibration | None = None
    """What a calibration of it gained and cost, likewise."""

    @property
    def identity(self) -> str:
        """`namespace/name@version`."""
        return f"{self.namespace}/{self.name}@{self.version}"


class CompatibilityAnswer(Answer):
    """What fits a model, and what comes nearest of what does not."""

    architecture: ArchitectureSummary | None = None
    """The model's family; None when its architecture is not known."""
    reasons: tuple[Reason, ...] = ()
    """Why the architecture is not known."""
    fits: tuple[Match, ...] = ()
    others: tuple[Match, ...] = ()
    next_cursor: str | None = None
    """Of a page: there may be more that fits."""


class ExchangedToken(Answer):
    """A short-lived token of a CI job."""

    token: str = Field(repr=False)
    """The secret."""
    account: str
    namespace: str
    """The only namespace that it opens."""
    scope: str
    expires_at: str


class UploadPart(Answer):
    """A part of a blob, and whether it is there."""

    number: int
    offset: int
    size_bytes: int
    state: Literal["missing", "present"]


class PartAddress(Answer):
    """Where one part is to be sent."""

    number: int
    url: str
    headers: dict[str, str] = {}


class PartAddresses(Answer):
    """Where parts are to be sent."""

    parts: tuple[PartAddress, ...] = ()


class UploadBlob(Answer):
    """A blob of an upload and where to send it."""

    digest: str
    size_bytes: int
    state: Literal["missing", "present"]
    url: str | None = None
    headers: dict[str, str] = {}
    parts: tuple[UploadPart, ...] = ()


class Upload(Answer):
    """A version on its way in."""

    id: str
    digest: str
    state: Literal["open", "completing", "published"]
    blobs: tuple[UploadBlob, ...] = ()
    problem: dict[str, Any] | None = None
    """Why it could not be completed, as RFC 9457 has it."""
