"""Finds the modules a vector touches inside a loaded model.

Modules are matched by name, never by position: plain transformers models, and models
wrapped by PEFT whose task adapter stays unmerged.
"""

from typing import Any

from torch import Tensor, nn

from safegene.errors import CompatibilityError, ShapeMismatchError
from safegene.vectors.vector import SafetyVector

_PEFT_PREFIXES = ("base_model.model.", "base_model.")


def find_modules(model: nn.Module, vector: SafetyVector) -> dict[str, nn.Module]:
    """Every module of the vector's footprint, by path; all of them or an error.

    Returns:
        The module that is called in the forward pass: for a PEFT model the LoRA layer,
        so that its output already holds the task adapter.

    Raises:
        CompatibilityError: the model lacks a module.
        ShapeMismatchError: a module's weight has another shape.
    """
    by_path = {plain_path(name): module for name, module in model.named_modules()}
    found: dict[str, nn.Module] = {}
    for path, factors in vector.factors.items():
        module = by_path.get(path)
        if module is None:
            message = (
                f"the model has no module {path}, which the vector"
                f" {vector.identity or ''} touches; nothing was applied"
            )
            raise CompatibilityError(message)
        expected = (int(factors.b_OR.shape[0]), int(factors.a_RI.shape[1]))
        actual = tuple(base_weight(module).shape)
        if actual != expected:
            message = (
                f"{path}: the vector is for a weight of shape {expected}, the model"
                f" has {actual}; nothing was applied"
            )
            raise ShapeMismatchError(
                message, module=path, expected=expected, actual=actual
            )
        found[path] = module
    return found


def plain_path(name: str) -> str:
    """A module's path as in the plain transformers model."""
    for prefix in _PEFT_PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def base_layer(module: nn.Module) -> nn.Module:
    """The linear layer itself, under a PEFT wrapper if there is one."""
    inner = getattr(module, "base_layer", None)
    return inner if isinstance(inner, nn.Module) else module


def base_weight(module: nn.Module) -> Tensor:
    """The weight of the linear layer itself.

    Raises:
        CompatibilityError: the module is not linear.
    """
    weight = getattr(base_layer(module), "weight", None)
    if not isinstance(weight, Tensor):
        message = f"a {type(module).__name__} has no weight to apply a vector to"
        raise CompatibilityError(message)
    return weight


def plain_config(model: Any) -> dict[str, Any]:
    """The `config.json` of a loaded model, PEFT-wrapped or not."""
    config: dict[str, Any] = model.config.to_dict()
    return config
