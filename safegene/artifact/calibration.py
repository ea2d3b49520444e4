"""A calibration: the coefficients of one version for one target, and their price.

A small JSON file of its own, `calibration.json`; decimals are strings. Stable. Format 1
has one coefficient a layer; format 2 may have one a module, and says what was lowered.
Both are read; what is written today is format 2.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from safegene.artifact.canonical import canonical_json, parse_canonical
from safegene.artifact.manifest import DataEntry, DecimalText, DigestText
from safegene.errors import ManifestError, UsageError

CALIBRATION_NAME = "calibration.json"

LAYER = r"(0|[1-9][0-9]{0,5})"
MODULE = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)+"

UnitText = Annotated[str, Field(max_length=256, pattern=rf"^({LAYER}|{MODULE})$")]
"""What has one coefficient: a layer's number or a module's path."""

Coefficients = Mapping[int, float] | Mapping[str, float]
"""By layer number, or by module path."""

Granularity = Literal["layer", "module"]


class Interval(BaseModel):
    """An estimate with the ends of its 95 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: DecimalText
    low: DecimalText
    high: DecimalText


class ObjectiveEntry(BaseModel):
    """What was lowered: the numbers and weights of the objective (docs/method.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: DecimalText
    sharpness: DecimalText
    focus: DecimalText
    lookalike_weight: DecimalText
    ordinary_weight: DecimalText


class Calibration(BaseModel):
    """What `recalibrate` found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1, 2] = 1
    vector: str
    """`namespace/name@version`, or the path of an unpublished vector."""
    digest: DigestText
    """The version's digest."""
    target_fingerprint: DigestText
    granularity: Granularity | None = None
    """What has a coefficient of its own; None, in format 1, is a layer."""
    coefficients: dict[UnitText, DecimalText]
    """Coefficient of each touched layer, by its number, or module, by its path."""
    budget: DecimalText
    """KL allowed, in nats per token of the target's own behavior."""
    predicted_kl: DecimalText | None = None
    """What the Fisher matrix gave; None where the solver needs none."""
    realised_kl: DecimalText
    objective: ObjectiveEntry | None = None
    """None in format 1, which does not say."""
    objective_before: DecimalText
    """Objective of the target without the vector; lower is safer."""
    objective_after: DecimalText
    objective_uniform: DecimalText | None = None
    """Objective at the best uniform coefficient within the budget; None where the
    solver did not look for one."""
    uniform_coefficient: DecimalText | None = None
    gain: Interval
    """Objective before minus after, per sample."""
    samples: dict[str, int]
    data: tuple[DataEntry, ...]
    solver: str
    forward_equivalents: int
    """Work in sequences: a forward counts 1, a backward 2."""
    warnings: tuple[str, ...]
    tool: str

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        """Each format has its own fields, and coefficients of one kind."""
        later = (self.granularity, self.objective)
        earlier = (self.predicted_kl, self.objective_uniform, self.uniform_coefficient)
        if self.format == 1 and (any(later) or None in earlier):
            told = "format 1 has no granularity and no objective, and every other field"
            raise ValueError(told)
        if self.format == 2 and None in later:  # noqa: PLR2004 - the format's number
            told = "format 2 needs granularity and objective"
            raise ValueError(told)
        by_module = self.granularity == "module"
        wrong = [unit for unit in self.coefficients if unit.isdigit() == by_module]
        if wrong:
            told = f"expected one coefficient a {self.granularity or 'layer'}"
            message = f"{told}, got one for {wrong[0]}"
            raise ValueError(message)
        return self

    def coefficient(self, layer: int) -> float:
        """The coefficient of a layer; 0 for layers the vector does not touch."""
        return self.by_layer.get(layer, 0.0)

    @cached_property
    def values(self) -> dict[int, float] | dict[str, float]:
        """The coefficients as numbers, by layer or by module: what `attach` takes."""
        return self.by_module if self.granularity == "module" else self.by_layer

    @cached_property
    def by_layer(self) -> dict[int, float]:
        """The coefficients as numbers, by layer.

        Raises:
            UsageError: the calibration has one a module.
        """
        if self.granularity == "module":
            message = (
                "the calibration has one coefficient a module, so a layer has none;"
                " read `values`, or recalibrate with one a layer"
            )
            raise UsageError(message)
        return {int(layer): float(text) for layer, text in self.coefficients.items()}

    @property
    def by_module(self) -> dict[str, float]:
        """The coefficients as numbers, by module path; empty if they are by layer."""
        return {
            path: float(text)
            for path, text in self.coefficients.items()
            if self.granularity == "module"
        }

    def to_bytes(self) -> bytes:
        """Canonical JSON; `from_bytes` reads it back."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a calibration file.

        Raises:
            ManifestError: it is not canonical JSON or breaks the format.
        """
        try:
            return cls.model_validate(parse_canonical(data))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            pointer = "".join(f"/{part}" for part in first["loc"])
            message = f"calibration: {pointer}: {first['msg']}"
            raise ManifestError(message, pointer=pointer) from None


def refuse_negative(coefficients: Coefficients) -> None:
    """Refuse coefficients that turn an update around, unless somebody asked for them.

    Args:
        coefficients: by layer or by module.

    Raises:
        UsageError: one is below 0; the message names its layer or module.
    """
    for unit, coefficient in sorted(coefficients.items()):
        if coefficient < 0:
            named = f"layer {unit}" if isinstance(unit, int) else f"module {unit}"
            message = (
                f"{named}: expected a coefficient of at least 0, got"
                f" {decimal_text(coefficient)}, which would remove safety; recalibrate,"
                " or allow negative ones explicitly (--allow-negative; in Python"
                " allow_negative=True)"
            )
            raise UsageError(message)


def decimal_text(value: float) -> str:
    """A number as the format writes decimals: six significant digits, no float."""
    text = f"{value:.6g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa
