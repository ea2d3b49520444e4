"""Finds the modules a vector touches inside a loaded model.

Modules are matched by name, never by position: plain transformers models, and models
wrapped by PEFT whose task adapter stays unmerged.
"""

from typing import Any

from torch import Tensor, nn

from safegene.artifact.compatibility import compare, require
from safegene.errors import CompatibilityError, ShapeMismatchError, UsageError
from safegene.vectors.vector import SafetyVector

_PEFT_PREFIXES = ("base_model.model.", "base_model.")


def find_modules(
    model: nn.Module, vector: SafetyVector, *, to_merge: bool = False
) -> dict[str, nn.Module]:
    """Every module of the vector's footprint, by path; all of them or an error.

    The structure of the whole model is compared first, as far as the model has a
    config: a deeper model of equal width must not pass because its first layers fit.

    Args:
        model: transformers or PEFT model.
        vector: whose footprint is looked for.
        to_merge: the weights will be changed, which must act like an attached vector.

    Returns:
        The modules that are called in the forward pass. Under a task adapter of LoRA's
        kind that is the linear layer inside, which outlives the adapter's unloading;
        adapters of other kinds may go past it, so there it is their own layer.

    Raises:
        CompatibilityError: the model has another structure or lacks a module; or, to
            merge, a task adapter is on it that does more than add to the weight.
        ShapeMismatchError: a module's weight has another shape.
        UsageError: the vector changes nothing.
    """
    if vector.changes_nothing:
        message = (
            f"the vector {vector.identity or ''} changes nothing: its updates are zero"
            " in every layer that is left; extract it again, or select more layers"
        )
        raise UsageError(message)
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
        if to_merge:
            _require_additive(module, path)
        found[path] = _called(module)
    return found


def plain_path(name: str) -> str:
    """A module's path as in the plain transformers model."""
    for prefix in _PEFT_PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def base_layer(module: nn.Module) -> nn.Module:
    """The linear layer itself, under as many PEFT wrappers as there are."""
    while isinstance(inner := getattr(module, "base_layer", None), nn.Module):
        module = inner
    return module


def _called(module: nn.Module) -> nn.Module:
    """The innermost layer that is sure to be called."""
    while hasattr(module, "lora_A"):
        module = module.get_submodule("base_layer")
    return module


def _require_additive(module: nn.Module, path: str) -> None:
    """Refuse a layer under whose adapter a changed weight is no attached vector."""
    while isinstance(inner := getattr(module, "base_layer", None), nn.Module):
        # PEFT keeps DoRA and its like as variants of LoRA, by adapter name.
        if not hasattr(module, "lora_A") or getattr(module, "lora_variant", None):
            kind = "DoRA or another variant of LoRA"
            if not hasattr(module, "lora_A"):
                kind = type(module).__module__.removeprefix("peft.tuners.")
            message = (
                f"{path}: its task adapter ({kind}) does more than add to the weight,"
                " so that merging below it would not act like the vector; merge the"
                " adapter first (merge_and_unload), or attach the vector instead"
            )
            raise CompatibilityError(message)
        module = inner


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
    layer = base_layer(module)
    # Under PEFT's `modules_to_save` the copy in use is of the original's class.
    return type(getattr(layer, "original_module", layer)).__name__ == "Conv1D"


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
