"""Applies a vector at run time, unmerged: on, off, strength and swap.

Forward hooks add each module's update to its output. Nothing in the model changes, so
taking the vector off gives back the same bits. Shape suffixes: O out features, I in
features, R rank, L layers, N samples of a batch, T tokens.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from safegene.errors import UsageError
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.targets import base_weight, find_modules
from safegene.vectors.vector import SafetyVector


def attach(
    model: nn.Module,
    vector: SafetyVector,
    coefficients: Mapping[int, float] | None = None,
) -> "Attachment":
    """Attach a vector to a loaded model; all of it or nothing.

    Args:
        model: a transformers or PEFT model in float32, float16 or bfloat16.
        vector: made for the model's architecture; check lineage before.
        coefficients: one a layer; layers left out get 0. None means 1 everywhere.

    Raises:
        CompatibilityError: the model lacks a module of the footprint.
        ShapeMismatchError: a module has another shape.
    """
    return Attachment(model, vector, coefficients)


class Attachment:
    """A vector on a model; also a context manager that detaches at the end."""

    def __init__(
        self,
        model: nn.Module,
        vector: SafetyVector,
        coefficients: Mapping[int, float] | None = None,
    ) -> None:
        self._model = model
        self.enabled = True
        """Whether the vector takes part in the forward pass."""
        self._strength = 1.0
        self._live: Tensor | None = None
        self._handles: list[RemovableHandle] = []
        self._mount(vector, coefficients)

    @property
    def vector(self) -> SafetyVector:
        """The vector that is attached."""
        return self._vector

    @property
    def coefficients(self) -> dict[int, float]:
        """One coefficient a touched layer."""
        return dict(self._coefficients)

    @property
    def strength(self) -> float:
        """Dial on top of the coefficients; 0 is off, 1 is as calibrated."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        if not 0 <= value < float("inf"):
            message = (
                f"strength: expected a number of at least 0, got {value}; a"
                " negative one would remove safety"
            )
            raise UsageError(message)
        self._strength = float(value)

    def set_coefficients(self, coefficients: Mapping[int, float]) -> None:
        """Replace the coefficients; layers left out get 0."""
        self._coefficients = {
            layer: float(coefficients.get(layer, 0.0)) for layer in self._vector.layers
        }

    def swap(
        self, vector: SafetyVector, coefficients: Mapping[int, float] | None = None
    ) -> None:
        """Put another vector in place; on an error the old one stays as it was."""
        find_modules(self._model, vector)
        self.detach()
        self._mount(vector, coefficients)

    def detach(self) -> None:
        """Take the vector off; the model is again exactly what it was."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @contextmanager
    def live_coefficients(self, live: Tensor) -> Iterator[None]:
        """Use a tensor of coefficients, so that gradients flow to it.

        Args:
            live: [L] for all samples, or [L, N] with one column a sample of the batch;
                rows in the order of `vector.layers`.
        """
        self._live = live
        try:
            yield
        finally:
            self._live = None

    def __enter__(self) -> "Attachment":  # noqa: PYI034 - beartype cannot check Self
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.detach()

    def _mount(
        self, vector: SafetyVector, coefficients: Mapping[int, float] | None
    ) -> None:
        modules = find_modules(self._model, vector)
        self._vector = vector
        self._rows = {layer: row for row, layer in enumerate(vector.layers)}
        ones = dict.fromkeys(vector.layers, 1.0)
        self.set_coefficients(ones if coefficients is None else coefficients)
        for path, module in modules.items():
            layer = vector.layer_of(path)
            if layer not in self._rows:
                continue  # stored as zeros for the servable profile
            hook = _UpdateHook(self, layer, vector.factors[path], base_weight(module))
            self._handles.append(module.register_forward_hook(hook))

    def current(self, layer: int) -> Tensor | float:
        """What a layer's update is multiplied by right now; 0.0 skips it."""
        if not self.enabled:
            return 0.0
        if self._live is not None:
            return self._live[self._rows[layer]]
        return self._coefficients[layer] * self._strength


class _UpdateHook:
    """Adds one module's update to its output."""

    def __init__(
        self,
        attachment: Attachment,
        layer: int,
        factors: LowRankFactors,
        weight: Tensor,
    ) -> None:
        self._attachment = attachment
        self._layer = layer
        dtype = weight.dtype if weight.dtype.is_floating_point else torch.float32
        self._a_IR = factors.a_RI.T.to(device=weight.device, dtype=dtype).contiguous()
        self._b_RO = factors.b_OR.T.to(device=weight.device, dtype=dtype).contiguous()

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        coefficient = self._attachment.current(self._layer)
        if isinstance(coefficient, float) and coefficient == 0.0:
            return output
        narrow = inputs[0].to(self._a_IR.dtype) @ self._a_IR
        return output + _times(narrow, coefficient) @ self._b_RO


def _times(narrow: Tensor, coefficient: Tensor | float) -> Tensor:
    """Multiply a [N, T, R] activation by a number or by one number a sample."""
    if isinstance(coefficient, float) or coefficient.dim() == 0:
        return narrow * coefficient
    return narrow * coefficient.to(narrow.dtype).view(-1, *[1] * (narrow.dim() - 1))
