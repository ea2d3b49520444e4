"""Finds the modules a vector touches inside a loaded model.

Modules are matched by name, never by position: plain transformers models, and models
wrapped by PEFT whose task adapter stays unmerged.
"""

from typing import Any

from torch import Tensor, nn

from safegene.artifact.compatibility import compare, require
from safegene.errors import CompatibilityError, ShapeMismatchError
from safegene.vectors.vector import SafetyVector

_PEFT_PREFIXES = ("base_model.model.", "base_model.")


def find_modules(model: nn.Module, vector: SafetyVector) -> dict[str, nn.Module]:
    """Every module of the vector's footprint, by path; all of them or an error.

    The structure of the whole model is compared first, as far as the model has a
    config: a deeper model of equal width must not pass because its first layers fit.

    Returns:
        The module that is called in the forward pass: for a PEFT model the LoRA layer,
        so that its output already holds the task adapter.

    Raises:
        CompatibilityError: the model has another structure or lacks a module.
        ShapeMismatchError: a module's weight has another shape.
    """
    config = plain_config(model)
    if config:
        verdict = compare(vector.architecture, config)
        require(verdict, allow_unverified_lineage=True)
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
        actual = linear_shape(module)
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
    """The weight of the linear layer itself, in its own layout.

    Raises:
        CompatibilityError: the module is not linear.
    """
    weight = getattr(base_layer(module), "weight", None)
    if not isinstance(weight, Tensor):
        message = f"a {type(module).__name__} has no weight to apply a vector to"
        raise CompatibilityError(message)
    return weight


def is_transposed(module: nn.Module) -> bool:
    """Whether the weight is stored [in, out], as transformers' Conv1D does."""
    return type(base_layer(module)).__name__ == "Conv1D"


def linear_shape(module: nn.Module) -> tuple[int, ...]:
    """Out and in features of a linear module, whatever its storage.

    Raises:
        CompatibilityError: the module is not linear.
    """
    weight = base_weight(module)
    if weight.is_floating_point():
        shape = tuple(weight.shape)
        return shape[::-1] if is_transposed(module) else shape
    # Quantised weights are packed; the module still knows its own sizes.
    layer = base_layer(module)
    return (getattr(layer, "out_features", 0), getattr(layer, "in_features", 0))


def plain_config(model: Any) -> dict[str, Any]:
    """The `config.json` of a loaded model, PEFT-wrapped or not; empty without one."""
    to_dict = getattr(getattr(model, "config", None), "to_dict", None)
    return {} if to_dict is None else dict(to_dict())
