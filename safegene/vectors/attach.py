"""Applies a vector at run time, unmerged: on, off, strength and swap.

Forward hooks add each module's update to its output. Nothing in the model changes, so
taking the vector off gives back the same bits. Shape suffixes: O out features, I in
features, R rank, L layers, N samples of a batch, T tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from safegene.artifact.calibration import Coefficients, refuse_negative
from safegene.errors import NonFiniteTensorError, ShapeMismatchError, UsageError
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.targets import base_weight, find_modules
from safegene.vectors.vector import SafetyVector

_TOKEN_AXES = 3
"""Axes of an activation [N, T, R] that still tells samples from tokens."""


def attach(
    model: nn.Module,
    vector: SafetyVector,
    coefficients: Coefficients | None = None,
    *,
    allow_negative: bool = False,
) -> "Attachment":
    """Attach a vector to a loaded model; all of it or nothing.

    A PEFT model keeps its task adapter as it is; each can be switched without the
    other.

    Args:
        model: a transformers or PEFT model in float32, float16 or bfloat16, or a
            quantised one.
        vector: made for the model's architecture; check lineage before.
        coefficients: by layer or by module; what is left out gets 0. None means 1
            everywhere.
        allow_negative: take coefficients below 0, which remove safety.

    Raises:
        CompatibilityError: the model has another structure.
        ShapeMismatchError: a module has another shape.
        NonFiniteTensorError: a factor is, or becomes in the model's dtype, infinite.
        UsageError: a coefficient is for what the vector does not touch, negative or not
            finite, or the vector changes nothing.
    """
    return Attachment(model, vector, coefficients, allow_negative=allow_negative)


class Attachment:
    """A vector on a model; also a context manager that detaches at the end."""

    def __init__(
        self,
        model: nn.Module,
        vector: SafetyVector,
        coefficients: Coefficients | None = None,
        *,
        allow_negative: bool = False,
    ) -> None:
        self._model = model
        self.enabled = True
        """Whether the vector takes part in the forward pass."""
        self._strength = 1.0
        self._live: Tensor | None = None
        self._rows: dict[str, int] = {}
        self._handles: list[RemovableHandle] = []
        self.swap(vector, coefficients, allow_negative=allow_negative)

    @property
    def vector(self) -> SafetyVector:
        """The vector that is attached."""
        return self._vector

    @property
    def coefficients(self) -> dict[int, float] | dict[str, float]:
        """One coefficient a touched layer, or a module if they were given so."""
        if self._by_layer is None:
            return dict(self._coefficients)
        return dict(self._by_layer)

    @property
    def strength(self) -> float:
        """Dial on top of the coefficients; 0 is off, 1 is as calibrated."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        if not 0 <= value < float("inf"):
            message = (
                f"strength: expected a finite number of at least 0, got {value}; a"
                " negative one would remove safety"
            )
            raise UsageError(message)
        self._strength = float(value)

    def set_coefficients(
        self, coefficients: Coefficients | None, *, allow_negative: bool = False
    ) -> None:
        """Replace the coefficients; what is left out gets 0, None means 1 everywhere.

        Args:
            coefficients: by layer or by module.
            allow_negative: take coefficients below 0, which remove safety.

        Raises:
            UsageError: one is for what the vector does not touch, negative or not
                finite.
        """
        by_module = self._vector.by_module(coefficients, allow_negative=allow_negative)
        self._take(self._vector, coefficients, by_module)

    def _take(
        self,
        vector: SafetyVector,
        given: Coefficients | None,
        by_module: dict[str, float],
    ) -> None:
        self._coefficients = by_module
        self._by_layer: dict[int, float] | None = None
        if not given or isinstance(next(iter(given)), int):
            layers = ((vector.layer_of(path), path) for path in by_module)
            self._by_layer = {layer: by_module[path] for layer, path in layers}

    def swap(
        self,
        vector: SafetyVector,
        coefficients: Coefficients | None = None,
        *,
        allow_negative: bool = False,
    ) -> None:
        """Put another vector in place; on an error the old one stays as it was.

        Strength and the on-off switch stay as they are. Raises what `attach` raises.
        """
        touched = vector.by_module(coefficients, allow_negative=allow_negative)
        modules = find_modules(self._model, vector)
        hooks = {
            path: _UpdateHook(self, path, vector, base_weight(module))
            for path, module in modules.items()
            # What selection left out is stored as zeros for the servable profile.
            if path in touched
        }
        self.detach()
        self._vector = vector
        self._take(vector, coefficients, touched)
        for path, hook in hooks.items():
            self._handles.append(modules[path].register_forward_hook(hook))

    def detach(self) -> None:
        """Take the vector off; the model is again exactly what it was."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @contextmanager
    def live_coefficients(
        self, live: Tensor, *, allow_negative: bool = False
    ) -> Iterator[None]:
        """Use a tensor of coefficients, so that gradients flow to it.

        It stands in for the coefficients and the strength; `enabled` still counts.

        Args:
            live: [L] for all samples, or [L, N] with one column a sample of the batch;
                rows in the order of `vector.layers`, or of `vector.modules` with one a
                module.
            allow_negative: take coefficients below 0, which remove safety.

        Raises:
            ShapeMismatchError: it has another number of rows or of axes.
            UsageError: one is negative.
        """
        expected, modules = len(self._vector.layers), self._vector.modules
        if live.dim() not in (1, 2) or live.shape[0] not in (expected, len(modules)):
            message = (
                f"live coefficients: expected shape [{expected}] or [{expected}, batch]"
                f" for the {expected} touched layers, or {len(modules)} rows for its"
                f" modules, got {list(live.shape)}"
            )
            raise ShapeMismatchError(
                message,
                module="coefficients",
                expected=(expected,),
                actual=tuple(live.shape),
            )
        if live.shape[0] == len(modules):
            self._rows = {path: row for row, path in enumerate(modules)}
        else:
            rows = {layer: row for row, layer in enumerate(self._vector.layers)}
            self._rows = {path: rows[self._vector.layer_of(path)] for path in modules}
        if not allow_negative:
            lowest = live.detach().reshape(len(live), -1).amin(dim=1).tolist()
            refuse_negative({path: lowest[row] for path, row in self._rows.items()})
        self._live = live
        try:
            yield
        finally:
            self._live = None

    def __enter__(self) -> "Attachment":  # noqa: PYI034 - beartype cannot check Self
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.detach()

    def current(self, path: str) -> Tensor | float:
        """What a module's update is multiplied by right now; 0.0 skips it."""
        if not self.enabled:
            return 0.0
        if self._live is not None:
            return self._live[self._rows[path]]
        return self._coefficients[path] * self._strength


class _UpdateHook:
    """Adds one module's update to its output."""

    def __init__(
        self, attachment: Attachment, path: str, vector: SafetyVector, weight: Tensor
    ) -> None:
        self._attachment = attachment
        self._path = path
        self._a_IR, self._b_RO = _cast_factors(vector.factors[path], path, weight)

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        coefficient = self._attachment.current(self._path)
        if isinstance(coefficient, float) and coefficient == 0.0:
            return output
        if self._a_IR.device != output.device:  # the model moved after attaching
            self._a_IR = self._a_IR.to(output.device)
            self._b_RO = self._b_RO.to(output.device)
        narrow = self._scale(inputs[0].to(self._a_IR.dtype) @ self._a_IR, coefficient)
        return output + (narrow @ self._b_RO).to(output.dtype)

    def _scale(self, narrow: Tensor, coefficient: Tensor | float) -> Tensor:
        """Multiply [N, T, R] by a number, or by one number a sample."""
        if isinstance(coefficient, float):
            return narrow * coefficient
        coefficient = coefficient.to(device=narrow.device, dtype=narrow.dtype)
        if coefficient.dim() == 0:
            return narrow * coefficient
        # A flattened activation would silently pair samples with tokens.
        if narrow.dim() < _TOKEN_AXES or narrow.shape[0] != coefficient.shape[0]:
            message = (
                f"{self._path}: live coefficients for {coefficient.shape[0]} samples"
                f" meet an activation of shape {list(narrow.shape)}"
            )
            raise ShapeMismatchError(
                message,
                module=self._path,
                expected=tuple(coefficient.shape),
                actual=tuple(narrow.shape),
            )
        return narrow * coefficient.view(-1, *[1] * (narrow.dim() - 1))


def _cast_factors(
    factors: LowRankFactors, path: str, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Transposed factors in the model's dtype; float32 beside quantised weights."""
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    pair = tuple(
        factor.T.to(device=weight.device, dtype=dtype).contiguous()
        for factor in (factors.a_RI, factors.b_OR)
    )
    if not all(bool(torch.isfinite(factor).all()) for factor in pair):
        message = f"{path}: its factors hold NaN or infinity in {dtype}"
        raise NonFiniteTensorError(message, module=path)
    return pair[0], pair[1]
