"""A calibration: the coefficients of one version for one target, and their price.

A small JSON file of its own, `calibration.json`; decimals are strings. Stable.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from safegene.artifact.canonical import canonical_json, parse_canonical
from safegene.artifact.manifest import DataEntry, DecimalText, DigestText
from safegene.errors import ManifestError, UsageError

CALIBRATION_NAME = "calibration.json"

LayerText = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,5})$")]


class Interval(BaseModel):
    """An estimate with the ends of its 95 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: DecimalText
    low: DecimalText
    high: DecimalText


class Calibration(BaseModel):
    """What `recalibrate` found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    vector: str
    """`namespace/name@version`, or the path of an unpublished vector."""
    digest: DigestText
    """The version's digest."""
    target_fingerprint: DigestText
    coefficients: dict[LayerText, DecimalText]
    """Coefficient of each touched layer, by layer number."""
    budget: DecimalText
    """KL allowed, in nats per token of the target's own behavior."""
    predicted_kl: DecimalText
    realised_kl: DecimalText
    objective_before: DecimalText
    """Objective of the target without the vector; lower is safer."""
    objective_after: DecimalText
    objective_uniform: DecimalText
    """Objective at the best uniform coefficient within the budget."""
    uniform_coefficient: DecimalText
    gain: Interval
    """Objective before minus after, per sample."""
    samples: dict[str, int]
    data: tuple[DataEntry, ...]
    solver: str
    forward_equivalents: int
    """Work in sequences: a forward counts 1, a backward 2."""
    warnings: tuple[str, ...]
    tool: str

    def coefficient(self, layer: int) -> float:
        """The coefficient of a layer; 0 for layers the vector does not touch."""
        return self.by_layer.get(layer, 0.0)

    @cached_property
    def by_layer(self) -> dict[int, float]:
        """The coefficients as numbers."""
        return {int(layer): float(text) for layer, text in self.coefficients.items()}

    def to_bytes(self) -> bytes:
        """Canonical JSON; `from_bytes` reads it back."""
        return canonical_json(self.model_dump(mode="json"))

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


def refuse_negative(coefficients: Mapping[int, float]) -> None:
    """Refuse coefficients that turn an update around, unless somebody asked for them.

    Args:
        coefficients: by layer.

    Raises:
        UsageError: one is below 0; the message names its layer.
    """
    for layer, coefficient in sorted(coefficients.items()):
        if coefficient < 0:
            message = (
                f"layer {layer}: expected a coefficient of at least 0, got"
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
