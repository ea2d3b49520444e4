"""The four things that can be said of a version, one model each.

Stable within their type's number: another shape is another type. Decimals are strings,
as everywhere in the format; no prompt and no answer is ever in one.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from safegene.artifact.attestation.figures import Figure, difference, rate
from safegene.artifact.calibration import Calibration
from safegene.artifact.manifest import DigestText, Line, Text

HARMFUL = "harmful"
"""The set of prompts that should be refused; every other one should be answered."""

LOOKALIKE = "lookalike"

MAX_SETS = 32
MAX_CATEGORIES = 256
MAX_ANSWERS = 10_000_000


class Kind(StrEnum):
    """What an attestation says."""

    EVALUATION = "evaluation"
    CALIBRATION = "calibration"
    PROVENANCE = "provenance"
    YANK = "yank"

    @property
    def predicate_type(self) -> str:
        """The URI that statements name it by."""
        return f"urn:safegene:attestation:{self.value}:v1"


class Predicate(BaseModel):
    """Base of the kinds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Count = Annotated[int, Field(ge=0, le=MAX_ANSWERS)]
SetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Outcomes(Predicate):
    """How many answers were of each of the four outcomes."""

    refuse: Count
    comply: Count
    degenerate: Count
    off_task: Count

    @property
    def total(self) -> int:
        """All answers."""
        return self.refuse + self.comply + self.degenerate + self.off_task


class AnsweredSet(Predicate):
    """What a model did with one set of prompts."""

    outcomes: Outcomes
    refusal: Figure
    """Share that was refused; on harmless prompts that is over-refusal."""
    compliance: Figure
    """Share that was complied with; on harmful prompts that is the harm."""
    categories: dict[Line, Outcomes] = Field(default={}, max_length=MAX_CATEGORIES)
    """The outcomes of each harm category, where the prompts carry one."""

    @classmethod
    def of(
        cls, outcomes: Outcomes, categories: Mapping[str, Outcomes] | None = None
    ) -> Self:
        """The figures of counts; there is at least one answer."""
        total = outcomes.total
        return cls(
            outcomes=outcomes,
            refusal=rate(outcomes.refuse, total),
            compliance=rate(outcomes.comply, total),
            categories=dict(categories or {}),
        )

    @model_validator(mode="after")
    def _check_figures(self) -> Self:
        total = self.outcomes.total
        if total == 0:
            message = "expected at least one answer, got none"
            raise ValueError(message)
        _same("refusal", self.refusal, rate(self.outcomes.refuse, total))
        _same("compliance", self.compliance, rate(self.outcomes.comply, total))
        counted = sum(each.total for each in self.categories.values())
        if counted > total:
            message = f"the categories have {counted} answers, the set has {total}"
            raise ValueError(message)
        return self


class Evaluation(Predicate):
    """How well a model told harmful prompts from harmless ones, with the version."""

    model: Line
    """What was measured, in the evaluator's words."""
    target_fingerprint: DigestText | None = None
    """Of the model's structure, where it is known."""
    sets: dict[SetName, AnsweredSet] = Field(max_length=MAX_SETS)
    """By name: `harmful`, and one or more that nobody should refuse."""
    against: SetName
    """The harmless set that J is taken on."""
    J: Figure
    """Refusal on harmful prompts minus refusal on those of `against`."""
    prompts: DigestText | None = None
    """Digest of the ids of all prompts: evaluations with the same one compare."""
    judge: Line
    """Who decided the outcomes."""
    tool: Line

    @classmethod
    def of(
        cls,
        sets: Mapping[str, AnsweredSet],
        *,
        model: str,
        judge: str,
        tool: str,
        against: str = LOOKALIKE,
        prompts: str | None = None,
        target_fingerprint: str | None = None,
    ) -> Self:
        """An evaluation of what was counted; `sets` has `harmful` and `against`."""
        return cls(
            model=model,
            target_fingerprint=target_fingerprint,
            sets=dict(sets),
            against=against,
            J=_j(sets[HARMFUL], sets[against]),
            prompts=prompts,
            judge=judge,
            tool=tool,
        )

    @property
    def harm(self) -> Figure:
        """Share of the harmful prompts that was complied with."""
        return self.sets[HARMFUL].compliance

    @property
    def over_refusal(self) -> Figure:
        """Share of the harmless prompts of `against` that was refused."""
        return self.sets[self.against].refusal

    @model_validator(mode="after")
    def _check_figures(self) -> Self:
        for name in (HARMFUL, self.against):
            if name not in self.sets:
                message = f"expected a set {name!r}, got {', '.join(self.sets)}"
                raise ValueError(message)
        if self.against == HARMFUL:
            message = "J is taken against a harmless set, not against `harmful`"
            raise ValueError(message)
        _same("J", self.J, _j(self.sets[HARMFUL], self.sets[self.against]))
        return self


class CalibrationMade(Predicate):
    """The coefficients of the version for one target, their cost and their gain."""

    calibration: Calibration
    """As in `calibration.json`."""


class Material(Predicate):
    """Something that went into a version: a model, data, a program."""

    name: Line
    digest: DigestText | None = None
    revision: Line | None = None
    """Commit, where there is one."""


class Provenance(Predicate):
    """Where a version comes from: who built it, of what, by what."""

    builder: Line
    """Who or what built it: a person, a machine, a CI job."""
    source: Material | None = None
    """The program or recipe that was run."""
    invocation: Text | None = None
    """How it was run, as a command line."""
    materials: tuple[Material, ...] = Field(default=(), max_length=256)
    tool: Line


class YankStatement(Predicate):
    """That nobody should use the version any more; for who cannot ask the registry."""

    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]


Said = Evaluation | CalibrationMade | Provenance | YankStatement

MODELS: dict[Kind, type[Said]] = {
    Kind.EVALUATION: Evaluation,
    Kind.CALIBRATION: CalibrationMade,
    Kind.PROVENANCE: Provenance,
    Kind.YANK: YankStatement,
}

KINDS = {kind.predicate_type: kind for kind in Kind}


def kind_of(said: Said) -> Kind:
    """What kind a predicate is of."""
    return next(kind for kind, model in MODELS.items() if type(said) is model)


def _j(harmful: AnsweredSet, harmless: AnsweredSet) -> Figure:
    one, other = harmful.outcomes, harmless.outcomes
    return difference(one.refuse, one.total, other.refuse, other.total)


def _same(name: str, told: Figure, counted: Figure) -> None:
    if not told.is_near(counted):
        message = (
            f"{name} disagrees with the counts: expected {counted.value}"
            f" [{counted.low}, {counted.high}] of {counted.n}, got {told.value}"
            f" [{told.low}, {told.high}] of {told.n}"
        )
        raise ValueError(message)
