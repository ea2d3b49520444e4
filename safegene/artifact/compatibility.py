"""Does a vector fit a model? One pure function, for the server and the client alike.

It never raises on bad news: it returns a verdict with machine-readable reasons, each
with what was expected and what came. `require` turns a verdict that does not allow
application into an error. Stable.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from safegene.artifact.architecture import (
    Architecture,
    ModuleShape,
    architecture_from_config,
)
from safegene.artifact.calibration import decimal_text
from safegene.artifact.lineage import LINEAGE_THRESHOLD, LineageScore
from safegene.artifact.notes import config_notes
from safegene.errors import CompatibilityError, UnsupportedFamilyError

MAX_MODULE_REASONS = 3
"""Module differences that are spelled out; the rest is counted."""

_FIELDS = ("model_type", "layers", "hidden_size", "heads", "kv_heads", "head_size")
LINEAGE_DIFFERS = "lineage-differs"
LINEAGE_NOT_CHECKED = "lineage-not-checked"

ONLY_CONFIG = "only the config is known; the weights were not compared"


class Level(StrEnum):
    """How sure it is that the vector fits."""

    EXACT = "exact"
    COMPATIBLE = "compatible"
    STRUCTURAL = "structural"
    INCOMPATIBLE = "incompatible"


class Reason(BaseModel):
    """One thing that speaks against the vector, or that could not be checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    """Stable slug: `architecture-field-differs`, `module-missing`,
    `module-unexpected`, `shape-differs`, `bias-differs`, `modules-differ`,
    `unknown-architecture`, `unsupported-experts`, `closed-weights`, `invalid-config`,
    `lineage-differs`, `lineage-not-checked`."""
    detail: str
    module: str | None = None
    """The module, or the field of the config or the architecture, that it is about."""
    expected: str | None = None
    actual: str | None = None


class Verdict(BaseModel):
    """The answer, ready for JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()
    """What differs between descendants without standing in the way."""
    lineage: str | None = None
    """Correlation of the lineage sketches, None when it was not measured."""

    @property
    def fits(self) -> bool:
        """Structure and lineage were checked and agree."""
        return self.level in (Level.EXACT, Level.COMPATIBLE)

    @property
    def applicable_with_override(self) -> bool:
        """The structure agrees; only lineage is unknown or differs."""
        return self.level is not Level.INCOMPATIBLE or all(
            reason.code == LINEAGE_DIFFERS for reason in self.reasons
        )


@dataclass(frozen=True)
class Target:
    """What a config tells of a model; read once, however many vectors are judged."""

    architecture: Architecture | None
    """None when it is not known."""
    reasons: tuple[Reason, ...]
    """Why it is not known."""
    notes: tuple[str, ...]


def read_target(config: Mapping[str, Any]) -> Target:
    """Read a model's structure; never raises on bad news.

    Args:
        config: the target's parsed `config.json`.
    """
    notes = config_notes(config)
    try:
        architecture = architecture_from_config(config)
    except UnsupportedFamilyError as error:
        return Target(architecture=None, reasons=(_unsupported(error),), notes=notes)
    return Target(architecture=architecture, reasons=(), notes=notes)


def compare(
    architecture: Architecture,
    target: Mapping[str, Any] | Target,
    lineage: LineageScore | None = None,
    *,
    unchecked: str = ONLY_CONFIG,
) -> Verdict:
    """Judge whether a vector made for `architecture` fits a model.

    Args:
        architecture: of the vector's base model, from its manifest.
        target: the model's parsed `config.json`, or what was read from it.
        lineage: how the target's weights compare with the vector's sketch; None when
            they were not compared.
        unchecked: why they were not, for people.
    """
    known = target if isinstance(target, Target) else read_target(target)
    notes = known.notes
    if known.architecture is None:
        return Verdict(level=Level.INCOMPATIBLE, reasons=known.reasons, notes=notes)
    reasons = tuple(structural_reasons(architecture, known.architecture))
    if reasons:
        return Verdict(level=Level.INCOMPATIBLE, reasons=reasons, notes=notes)
    if lineage is None:
        reason = Reason(code=LINEAGE_NOT_CHECKED, detail=unchecked)
        return Verdict(level=Level.STRUCTURAL, reasons=(reason,), notes=notes)
    return _judge_lineage(lineage, notes)


def structural_reasons(
    expected: Architecture, actual: Architecture
) -> Iterator[Reason]:
    """Every difference between two structures, the most telling first, capped."""
    # Equal structures have equal fingerprints; taking those costs ten times as much.
    if expected == actual:
        return
    for field in _FIELDS:
        want, have = getattr(expected, field), getattr(actual, field)
        if want != have:
            detail = f"{field}: the vector is for {want}, the model has {have}"
            yield Reason(
                code="architecture-field-differs",
                detail=detail,
                module=field,
                expected=str(want),
                actual=str(have),
            )
    if expected.model_type == actual.model_type:
        differences = list(_module_differences(expected, actual))
        for want, have in differences[:MAX_MODULE_REASONS]:
            yield _module_reason(want, have)
        more = len(differences) - MAX_MODULE_REASONS
        if more > 0:
            yield Reason(code="modules-differ", detail=f"{more} more modules differ")


def require(verdict: Verdict, *, allow_unverified_lineage: bool = False) -> None:
    """Raise unless the verdict allows application.

    Args:
        verdict: from `compare`.
        allow_unverified_lineage: accept a model whose lineage is unknown or differs;
            there is no such override for the structure.

    Raises:
        CompatibilityError: with the first reasons spelled out.
    """
    if verdict.fits:
        return
    if allow_unverified_lineage and verdict.applicable_with_override:
        return
    details = "; ".join(reason.detail for reason in verdict.reasons[:2])
    message = (
        f"the vector does not fit this model ({verdict.level}): {details};"
        f" {_advice(verdict)}"
    )
    raise CompatibilityError(message, reasons=verdict.reasons)


def _advice(verdict: Verdict) -> str:
    if not verdict.applicable_with_override:
        return "ask the registry which vectors fit: safegene compatible MODEL"
    first = (
        "use a vector of the base model that this one descends from"
        if verdict.level is Level.INCOMPATIBLE
        else "name a directory with the model's unquantised safetensors weights, so"
        " that lineage can be checked"
    )
    return (
        f"{first}, or allow unverified lineage explicitly (--allow-unverified-lineage;"
        " in Python allow_unverified_lineage=True)"
    )


def _judge_lineage(lineage: LineageScore, notes: tuple[str, ...]) -> Verdict:
    correlation = decimal_text(lineage.correlation)
    if lineage.bit_equal:
        return Verdict(level=Level.EXACT, notes=notes, lineage=correlation)
    if lineage.correlation >= LINEAGE_THRESHOLD:
        return Verdict(level=Level.COMPATIBLE, notes=notes, lineage=correlation)
    reason = Reason(
        code=LINEAGE_DIFFERS,
        detail=(
            "the model's weights do not descend from the vector's base model:"
            f" correlation {correlation}, expected at least {LINEAGE_THRESHOLD}"
        ),
        expected=f">={LINEAGE_THRESHOLD}",
        actual=correlation,
    )
    return Verdict(
        level=Level.INCOMPATIBLE, reasons=(reason,), notes=notes, lineage=correlation
    )


def _module_differences(
    expected: Architecture, actual: Architecture
) -> Iterator[tuple[ModuleShape | None, ModuleShape | None]]:
    """Modules of which one side has none, or another, in the order of the reasons."""
    for module in expected.modules:
        other = actual.module(module.path)
        if other is None or other != module:
            yield module, other
    for module in actual.modules:
        if expected.module(module.path) is None:
            yield None, module


def _module_reason(expected: ModuleShape | None, actual: ModuleShape | None) -> Reason:
    if expected is None:
        assert actual is not None  # noqa: S101 - not both
        path = actual.path
        return Reason(
            code="module-unexpected",
            detail=f"the model has a module {path} the vector's base lacks",
            module=path,
            actual=_shape(actual),
        )
    path = expected.path
    if actual is None:
        return Reason(
            code="module-missing",
            detail=f"the model has no module {path}",
            module=path,
            expected=_shape(expected),
        )
    if _shape(actual) != _shape(expected):
        return Reason(
            code="shape-differs",
            detail=f"{path}: expected shape {_shape(expected)}, got {_shape(actual)}",
            module=path,
            expected=_shape(expected),
            actual=_shape(actual),
        )
    return Reason(
        code="bias-differs",
        detail=f"{path}: expected bias {expected.bias}, got {actual.bias}",
        module=path,
        expected=str(expected.bias),
        actual=str(actual.bias),
    )


def _shape(module: ModuleShape) -> str:
    return f"{module.out_features}x{module.in_features}"


def _unsupported(error: UnsupportedFamilyError) -> Reason:
    return Reason(
        code=error.reason,
        detail=error.detail,
        module=error.field,
        expected=error.expected,
        actual=error.actual,
    )
