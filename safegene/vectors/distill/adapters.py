"""Factors in training, hooked onto a frozen model.

Shape suffixes: O out features, I in features, R rank.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from safegene.artifact.architecture import ModuleShape
from safegene.errors import CompatibilityError, ShapeMismatchError
from safegene.vectors.factors import LowRankFactors, refactored
from safegene.vectors.targets import linear_shape, plain_path


class TrainedFactors:
    """One pair of factors a module; B starts at zero, so training starts at no change.

    Factors are float32 whatever the model computes in: steps of an optimizer are too
    small for bfloat16.

    Args:
        model: frozen.
        shapes: modules to change.
        rank: of the factors, less where a matrix has less.
        alpha: the product counts alpha / rank times.
        seed: of A.

    Raises:
        CompatibilityError: the model lacks a module.
        ShapeMismatchError: a module has another shape.
    """

    def __init__(
        self,
        model: nn.Module,
        shapes: Sequence[ModuleShape],
        *,
        rank: int,
        alpha: float,
        seed: int,
    ) -> None:
        by_path = {plain_path(name): module for name, module in model.named_modules()}
        generator = torch.Generator().manual_seed(seed)
        self._scaling = alpha / rank
        self._modules = {
            shape.path: _checked(by_path.get(shape.path), shape) for shape in shapes
        }
        self._pairs: dict[str, tuple[Tensor, Tensor]] = {}
        for shape in shapes:
            kept = min(rank, shape.in_features, shape.out_features)
            # As PEFT begins: uniform, so that each row's norm is about 1 / sqrt(3).
            bound = 1 / math.sqrt(shape.in_features)
            a_RI = torch.rand(kept, shape.in_features, generator=generator)
            a_RI = (2 * a_RI - 1) * bound
            b_OR = torch.zeros(shape.out_features, kept)
            device = next(self._modules[shape.path].parameters()).device
            self._pairs[shape.path] = (
                a_RI.to(device).requires_grad_(),
                b_OR.to(device).requires_grad_(),
            )

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [factor for pair in self._pairs.values() for factor in pair]

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Let the factors take part in the forward pass."""
        handles = [
            module.register_forward_hook(self._hook(path))
            for path, module in self._modules.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def result(self) -> dict[str, LowRankFactors]:
        """The factors as they are now, canonical, the scaling folded in; on the CPU."""
        return {
            path: refactored(
                LowRankFactors(
                    a_RI.detach().float().cpu(),
                    b_OR.detach().float().cpu() * self._scaling,
                )
            )
            for path, (a_RI, b_OR) in self._pairs.items()
        }

    def _hook(self, path: str) -> Any:
        a_RI, b_OR = self._pairs[path]

        def add(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            x = inputs[0]
            narrow = x @ a_RI.T.to(x.dtype)
            update = (narrow * self._scaling) @ b_OR.T.to(x.dtype)
            return output + update.to(output.dtype)

        return add


def _checked(module: nn.Module | None, shape: ModuleShape) -> nn.Module:
    if module is None:
        message = f"the degraded model has no module {shape.path} to train factors for"
        raise CompatibilityError(message)
    expected = (shape.out_features, shape.in_features)
    actual = linear_shape(module)
    if actual != expected:
        message = (
            f"{shape.path}: expected a weight of shape {expected}, the degraded model"
            f" has {actual}"
        )
        raise ShapeMismatchError(
            message, module=shape.path, expected=expected, actual=actual
        )
    return module
