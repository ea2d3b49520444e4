"""What the REST interface takes and gives, as pydantic models.

Names and shapes here are the contract with every client; `tests/contract` holds the
OpenAPI document made from them. Addresses (`url`) are relative to the server's root.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from safegene.artifact.manifest import BaseModelRef


class Schema(BaseModel):
    """Base of all: immutable, documented by the strings under the fields."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Health(Schema):
    """The service answers."""

    status: Literal["ok"]
    version: str


class Ready(Schema):
    """The replica can serve."""

    status: Literal["ready"]
    parts: dict[str, Literal["ok"]]
    """What was asked."""


class ArchitectureSummary(Schema):
    """A family in short."""

    model_type: str
    layers: int
    hidden_size: int
    fingerprint: str


class Latest(Schema):
    """The newest version: the newest final one, or the newest pre-release.

    A yanked one only where all are yanked.
    """

    version: str
    digest: str


class Yanked(Schema):
    """Why and since when a version is hidden from resolution."""

    at: datetime
    reason: str


class Purged(Schema):
    """Why and since when a version's bytes are gone for good."""

    at: datetime
    reason: str


class Deprecated(Schema):
    """Why and since when a version, or its whole vector, should not be used."""

    of: Literal["version", "vector"]
    at: datetime
    message: str
    successor: str | None
    """A reference to what should be used in its place."""


Severity = Literal["low", "moderate", "high", "critical"]


class AdvisoryNote(Schema):
    """What is known to be wrong with some versions of a vector, in short."""

    number: int
    """Of the vector's advisories, from 1."""
    severity: Severity
    affected: str
    """The range of versions that have it."""
    summary: str
    fixed_in: str | None
    """The first version without it; null: there is none yet."""


class YankRequest(Schema):
    """Hide a version from resolution."""

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")
    """Shown to everybody who asks for the version nevertheless."""


class VersionEntry(Schema):
    """One version in a vector's list."""

    version: str
    digest: str
    yanked: Yanked | None = None
    deprecated: Deprecated | None = None
    purged: Purged | None = None


class Range(Schema):
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


class EvaluationFigures(Schema):
    """What an evaluation comes down to; its envelope has the counts."""

    against: str
    """Name of the harmless set of prompts."""
    harmful_samples: int
    harmless_samples: int
    harm: Range
    """Share of the harmful prompts that was complied with."""
    j: Range
    """Refusal of harmful prompts minus refusal of harmless ones."""
    over_refusal: Range
    """Share of the harmless prompts that was refused."""


class CalibrationFigures(Schema):
    """What a calibration gained and cost."""

    gain: Range
    """Objective before minus after, per sample."""
    kl: float
    """Nats per token of the target's own behavior."""


class BestEvaluation(EvaluationFigures):
    """Of a version's evaluations, the one whose J has the highest lower end."""

    version: str
    """That it is of."""
    digest: str
    """Of its envelope, which is to be had among the version's attestations."""
    trusted: bool
    """Whether the namespace trusts who says so; who is not trusted only claims."""


class BestCalibration(CalibrationFigures):
    """Of a version's calibrations, the one whose gain has the highest lower end."""

    digest: str
    """Of its envelope."""
    trusted: bool
    """As of an evaluation."""


class VectorSummary(Schema):
    """A vector, described by its newest version."""

    namespace: str
    name: str
    description: str
    license: str
    base_model: BaseModelRef
    architecture: ArchitectureSummary
    rank: int
    latest: Latest
    version_count: int
    evaluation: BestEvaluation | None
    """Of the newest version of each family, by whom the namespace trusts."""


class VectorDetail(VectorSummary):
    """A vector and the versions that were published last."""

    deprecated: Deprecated | None = None
    """If no version of it should be used any more."""
    versions: list[VersionEntry]
    """Those published last first; at most 50."""
    next_cursor: str | None
    """Give it as `cursor` to the list of versions for the rest; null: all are here."""


class VersionPage(Schema):
    """A page of a vector's versions, those published last first."""

    items: list[VersionEntry]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last."""


class ArchitecturePage(Schema):
    """A page of families, by model type, width and number of layers."""

    items: list[ArchitectureSummary]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last."""


class VectorPage(Schema):
    """A page of vectors, by namespace and name."""

    items: list[VectorSummary]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last."""


class FileDetail(Schema):
    """One file of a version."""

    path: str
    digest: str
    size_bytes: int
    url: str


class VersionDetail(Schema):
    """One published version."""

    namespace: str
    name: str
    version: str
    digest: str
    size_bytes: int
    yanked: Yanked | None = None
    deprecated: Deprecated | None = None
    """If it should not be used any more; what is said of the version goes before what
    is said of its vector."""
    advisories: list[AdvisoryNote] = []
    """Those that concern this version, the last one first."""
    files: list[FileDetail]


class ProblemFault(Schema):
    """One wrong part of the request."""

    pointer: str
    """JSON pointer."""
    detail: str


class DemandPart(Schema):
    """One thing that a demand of a promotion policy asks for."""

    measure: str
    """What is measured, as `harm.upper_end` or `approvals`."""
    met: bool
    wanted: str
    """In words, as `at most 0.1`."""
    found: str | None
    """Null: there is nothing that counts."""
    missed_by: str | None
    """How far it is off; null: it is met, or there is nothing that counts."""


class Demand(Schema):
    """One demand of a promotion policy, and what it comes to."""

    demand: str
    """In words."""
    kind: Literal["evaluation", "signatures", "approvals"]
    met: bool
    parts: list[DemandPart]
    evidence: str | None
    """Digest of the evaluation that comes nearest to it."""
    advice: str | None
    """What to do; null: it is met."""


class Problem(Schema):
    """RFC 9457 problem details."""

    type: str
    """Address of the page about this kind of problem; its last part is stable."""
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[ProblemFault] | None = None
    used_bytes: int | None = None
    """Of a quota; with the next three in `quota-exceeded` only."""
    reserved_bytes: int | None = None
    limit_bytes: int | None = None
    wanted_bytes: int | None = None
    policy: int | None = None
    """Number of the one that counts; with the next in `promotion-refused` only."""
    demands: list[Demand] | None = None


class PartState(Schema):
    """A part of a blob, and whether it is there."""

    number: int
    offset: int
    """First byte of the blob that it holds."""
    size_bytes: int
    state: Literal["missing", "present"]


class PartSum(Schema):
    """A part that is to be sent."""

    number: int = Field(ge=1)
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    """Of the part's bytes."""


class PartsRequest(Schema):
    """Where are these parts to be sent?"""

    parts: list[PartSum] = Field(min_length=1, max_length=500)


class PartTarget(Schema):
    """Where to send one part."""

    number: int
    url: str
    """Where to PUT these bytes and no others; takes no token, works for a while."""
    headers: dict[str, str]
    """Headers to send along."""


class PartsAnswer(Schema):
    """Where parts are to be sent."""

    parts: list[PartTarget]
    """Those asked for, in the same order."""


class BlobTarget(Schema):
    """A blob of an upload, and where to send it.

    An absolute `url` leads to the object store: it takes no token, works for a while
    and is given anew by `GET /v1/uploads/{id}`. Those of parts are given by
    `POST /v1/uploads/{id}/blobs/{digest}/parts`, to who knows what is to be sent.
    """

    digest: str
    size_bytes: int
    state: Literal["missing", "present"]
    url: str | None = None
    """Where to PUT the whole blob; null when it is there, or is sent in parts."""
    headers: dict[str, str] = {}
    """Headers to send along."""
    parts: list[PartState] = []
    """All parts, in order, of a blob that is sent in parts."""


class UploadDetail(Schema):
    """A version on its way in."""

    id: UUID
    digest: str
    """Digest of the manifest, and so of the version."""
    state: Literal["open", "completing", "published"]
    """`completing`: it is being verified; look again in a second or a few."""
    expires_at: datetime
    blobs: list[BlobTarget]
    """Empty unless it is open."""
    problem: Problem | None = None
    """Why it is open again after `completing`; complete it anew once that is mended."""
