"""A safety vector in memory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from safegene.artifact.architecture import Architecture
from safegene.artifact.calibration import Coefficients, refuse_negative
from safegene.artifact.manifest import BaseModelRef, Recipe
from safegene.artifact.segments import layer_index
from safegene.errors import ManifestError, ShapeMismatchError, UsageError
from safegene.vectors.factors import LowRankFactors


# Compared by identity, since factors are tensors; the digest compares content.
@dataclass(frozen=True, eq=False)
class SafetyVector:
    """Low-rank updates by module, with what they belong to and how they were made.

    Raises:
        ManifestError: it touches no module, or one the architecture does not have.
        ShapeMismatchError: factors do not fit their module.
    """

    architecture: Architecture
    base_model: BaseModelRef
    factors: Mapping[str, LowRankFactors]
    """By module path, in model order."""
    recipe: Recipe
    sketch: tuple[float, ...]
    """Lineage sketch of the base model."""
    layer_scores: Mapping[int, float] = field(default_factory=dict)
    selected_layers: tuple[int, ...] | None = None
    """Layers that selection kept; None when nothing was left out."""
    identity: str | None = None
    """`namespace/name@version` once saved or loaded."""
    digest: str | None = None
    """The version's digest once saved or loaded."""

    def __post_init__(self) -> None:
        if not self.factors:
            message = "a safety vector touches at least one module, this one none"
            raise ManifestError(message, pointer="/footprint")
        for path, factors in self.factors.items():
            module = self.architecture.module(path)
            if module is None:
                message = f"the vector's architecture has no module {path}"
                raise ManifestError(message, pointer="/footprint")
            expected = (module.out_features, module.in_features)
            actual = (factors.b_OR.shape[0], factors.a_RI.shape[1])
            if expected != actual:
                message = f"{path}: expected factors of {expected}, got {actual}"
                raise ShapeMismatchError(
                    message, module=path, expected=expected, actual=actual
                )

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Layers the vector changes, rising."""
        touched = {self.layer_of(path) for path in self.factors}
        if self.selected_layers is not None:
            touched &= set(self.selected_layers)
        return tuple(sorted(touched))

    @cached_property
    def modules(self) -> tuple[str, ...]:
        """Paths of the modules the vector changes, in model order."""
        kept = set(self.layers)
        return tuple(path for path in self.factors if self.layer_of(path) in kept)

    @cached_property
    def rank(self) -> int:
        """Largest rank of its factors."""
        return max(factors.rank for factors in self.factors.values())

    @cached_property
    def changes_nothing(self) -> bool:
        """Whether every update that selection left is zero."""
        return not any(
            self.layer_of(path) in self.layers
            and bool(factors.a_RI.any())
            and bool(factors.b_OR.any())
            for path, factors in self.factors.items()
        )

    @staticmethod
    def layer_of(path: str) -> int:
        """Layer number in a module's path.

        Raises:
            ManifestError: the path names no layer.
        """
        layer = layer_index(path)
        if layer is None:
            message = f"module {path} belongs to no layer"
            raise ManifestError(message, pointer="/footprint")
        return layer

    def with_selection(
        self, scores: Mapping[int, float], layers: tuple[int, ...] | None
    ) -> "SafetyVector":
        """The vector with scores recorded and only `layers` kept (None keeps all)."""
        kept = self.factors
        if layers is not None:
            kept = {p: f for p, f in kept.items() if self.layer_of(p) in layers}
        return replace(
            self, factors=kept, layer_scores=dict(scores), selected_layers=layers
        )

    def coefficients(self, given: Mapping[int, float] | None) -> dict[int, float]:
        """One coefficient for every touched layer, of either sign.

        Args:
            given: by layer; layers left out get 0. None means 1 everywhere.

        Raises:
            UsageError: one is for a layer the vector does not touch, or not finite.
        """
        if given is None:
            return dict.fromkeys(self.layers, 1.0)
        for layer, coefficient in given.items():
            if layer not in self.layers:
                message = (
                    f"a coefficient is for layer {layer}, the vector touches layers"
                    f" {', '.join(map(str, self.layers))}; was it made for another one?"
                )
                raise UsageError(message)
            if not math.isfinite(coefficient):
                message = (
                    f"layer {layer}: expected a finite coefficient, got {coefficient}"
                )
                raise UsageError(message)
        return {layer: float(given.get(layer, 0.0)) for layer in self.layers}

    def by_module(
        self, given: Coefficients | None, *, allow_negative: bool = False
    ) -> dict[str, float]:
        """One coefficient for every touched module.

        Args:
            given: by layer or by module; what is left out gets 0. None means 1
                everywhere.
            allow_negative: take coefficients below 0, which remove safety.

        Raises:
            UsageError: one is for what the vector does not touch, negative or not
                finite.
        """
        by_path: dict[str, float] = {}
        by_number: dict[int, float] = {}
        for unit, coefficient in ({} if given is None else given).items():
            if isinstance(unit, int):
                by_number[unit] = coefficient
                continue
            if unit not in self.modules:
                message = (
                    f"a coefficient is for module {unit}, which the vector does not"
                    " touch; was it made for another one?"
                )
                raise UsageError(message)
            if not math.isfinite(coefficient):
                message = f"{unit}: expected a finite coefficient, got {coefficient}"
                raise UsageError(message)
            by_path[unit] = float(coefficient)
        if by_path and by_number:
            message = (
                "expected coefficients by layer or by module, got both:"
                f" {next(iter(by_number))} and {next(iter(by_path))}"
            )
            raise UsageError(message)
        by_layer = self.coefficients(None if given is None else by_number)
        if given is not None and not allow_negative:
            refuse_negative(given)
        if by_path:
            return {path: by_path.get(path, 0.0) for path in self.modules}
        return {path: by_layer[self.layer_of(path)] for path in self.modules}

    def scaled(
        self, given: Coefficients | None, *, allow_negative: bool = False
    ) -> "SafetyVector":
        """The vector with coefficients folded into B; see `by_module`."""
        by_module = self.by_module(given, allow_negative=allow_negative)
        factors = {
            path: part.scaled(by_module.get(path, 0.0))
            for path, part in self.factors.items()
        }
        return replace(self, factors=factors, identity=None, digest=None)
