"""What the compatibility query takes and gives, as pydantic models; see `schemas`."""

from typing import Annotated, Any

from pydantic import Field, FiniteFloat, field_validator

from safegene.artifact.compatibility import Level, Reason
from safegene.artifact.manifest import BaseModelRef
from safegene_registry.schemas import (
    ArchitectureSummary,
    BestCalibration,
    BestEvaluation,
    Schema,
)

MAX_CONFIG_DEPTH = 32

MAX_FLEET = 1000
"""Configs in one question."""

MAX_SKETCH = 8192
"""Values of a lineage sketch; real ones have 4096 or fewer."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class FitFilters(Schema):
    """What is asked of vectors beside that they fit; of their newest version."""

    namespace: str | None = Field(default=None, max_length=64)
    """Only vectors of this namespace."""
    base_model: str | None = Field(default=None, max_length=256)
    """Only vectors made for this base model."""
    license: str | None = Field(default=None, max_length=256)
    """Only vectors under this licence, as their manifest spells it."""
    max_rank: int | None = Field(default=None, ge=1, le=4096)
    """Only vectors of at most this rank."""


class FitQuestion(FitFilters):
    """Which of the vectors that fit are wanted, page by page."""

    constraint: str | None = Field(default=None, max_length=256)
    """Only versions in this range, such as `~=1.2`."""
    limit: int = Field(default=50, ge=1, le=200)
    """At most so many fitting vectors."""
    cursor: str | None = Field(default=None, max_length=800)
    """`next_cursor` of the page before."""


class FamilyQuestion(FitQuestion):
    """Which vectors fit the models of this family?"""

    fingerprint: Digest
    """Of the family."""


class CompatibilityQuestion(FitQuestion):
    """Which vectors fit this model?"""

    config: dict[str, Any]
    """The model's `config.json`."""
    sketch: list[FiniteFloat] | None = Field(default=None, max_length=MAX_SKETCH)
    """The model's lineage sketch; without it only the structure is judged."""

    @field_validator("config")
    @classmethod
    def check_config(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Refuse what no real config has and what could not be answered about."""
        fault = config_fault(config)
        if fault is not None:
            raise ValueError(fault)
        return config


def config_fault(config: dict[str, Any]) -> str | None:
    """What no real config has and what could not be answered about, if it is there."""
    todo: list[tuple[Any, int]] = [(config, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > MAX_CONFIG_DEPTH:
            return f"nested deeper than {MAX_CONFIG_DEPTH}"
        if isinstance(value, dict):
            todo.extend((item, depth + 1) for pair in value.items() for item in pair)
        elif isinstance(value, list):
            todo.extend((item, depth + 1) for item in value)
        elif isinstance(value, str) and not value.isascii():
            # JSON can spell half a character; no answer could quote it.
            try:
                value.encode()
            except UnicodeEncodeError as error:
                return str(error)
    return None


class FleetQuestion(FitFilters):
    """Which vectors fit each of these models?"""

    configs: list[Any] = Field(min_length=1, max_length=MAX_FLEET)
    """Their `config.json`s. One that is none is answered with the reason."""
    limit: int = Field(default=3, ge=1, le=10)
    """At most so many fitting vectors each."""


class Match(Schema):
    """A vector's best version for the question, and how it compares."""

    namespace: str
    name: str
    version: str
    digest: str
    base_model: BaseModelRef
    level: Level
    reasons: list[Reason]
    notes: list[str]
    lineage: str | None = None
    """How alike the asked sketch and the base model's are; null: not compared."""
    size_bytes: int
    """That have to be fetched: the sum of its files."""
    evaluation: BestEvaluation | None = None
    """What it gains, by whom the namespace trusts, else as somebody claims."""
    calibration: BestCalibration | None = None
    """What a calibration of it gained and cost, likewise."""


class CompatibilityAnswer(Schema):
    """What fits, and what comes nearest of what does not."""

    architecture: ArchitectureSummary | None
    """The asked model's family; null when its architecture is not known."""
    reasons: list[Reason]
    """Why the architecture is not known."""
    fits: list[Match]
    """Most recently published first."""
    others: list[Match]
    """Vectors for the nearest other families, with the reasons against each; on the
    first page only, before them what fits but for its lineage."""
    next_cursor: str | None = None
    """Give it as `cursor` for more that fits, even if there was none; null: all."""


class FleetAnswer(Schema):
    """What fits each model of a fleet."""

    answers: list[CompatibilityAnswer]
    """One for all configs that are equal; without the nearest of what does not fit."""
    places: list[int]
    """For each config, in order, the place of its answer in `answers`."""
