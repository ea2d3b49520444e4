"""Reads a plain PEFT LoRA adapter as weight changes, so that merging can include it.

Whatever cannot be expressed as one low-rank change a weight is refused: an adapter that
is merged in part would change the model in silence.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from safegene.artifact.manifest import CONFIG_NAME, TENSORS_NAME
from safegene.errors import InvalidDataError, UsageError
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.targets import plain_path

_PICKLED = "adapter_model.bin"

# Fields of PEFT's LoRA configuration that do not change what merging adds, whatever
# their value; any other field must be empty.
_HARMLESS = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "exclude_modules", "eva_config"),
        # How the model stores its weights; the factors are the same either way.
        "fan_in_fan_out",
        *("inference_mode", "layers_pattern", "layers_to_transform", "lora_alpha"),
        *("lora_dropout", "megatron_core", "peft_type", "peft_version", "r"),
        *("alpha_pattern", "rank_pattern"),
        *("qalora_group_size", "revision", "target_modules", "task_type", "use_rslora"),
    }
)
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "bias": ("none",),
    # The other ways of initialization change the base weights as well.
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
}


def read_lora_adapter(
    directory: Path, *, called: str | None = None
) -> dict[str, LowRankFactors]:
    """The weight changes of a plain PEFT LoRA adapter, by module path.

    Args:
        directory: holds `adapter_config.json` and `adapter_model.safetensors`.
        called: what to call it in errors; the directory by default.

    Returns:
        Float32 factors with the adapter's scaling folded into B.

    Raises:
        UsageError: there is no adapter in the directory.
        InvalidDataError: it uses something that is not a plain weight change.
    """
    called = called or str(directory)
    if (directory / _PICKLED).is_file() and not (directory / TENSORS_NAME).is_file():
        message = (
            f"{called}: {_PICKLED} is a pickle, which can run code and is never"
            " read; load and save the adapter with PEFT to get safetensors"
        )
        raise InvalidDataError(message)
    config = adapter_settings(directory, called=called)
    try:
        tensors = load_file(directory / TENSORS_NAME)
    except (OSError, SafetensorError) as error:
        raise _no_adapter(called, error) from None
    _refuse_special(called, config)
    changes: dict[str, LowRankFactors] = {}
    for key in tensors:
        path = plain_path(key.partition(".lora_")[0])
        rank, scaling = _scaling(called, config, path)
        pair = _pair(called, tensors, key, rank)
        if ".lora_A." in key:
            a_RI, b_OR = (factor.float() for factor in pair)
            changes[path] = LowRankFactors(a_RI, b_OR * scaling)
    if not changes:
        _refuse(called, "no tensors at all")
    return changes


def adapter_settings(directory: Path, *, called: str | None = None) -> dict[str, Any]:
    """The configuration of a PEFT LoRA adapter.

    Args:
        directory: holds `adapter_config.json`.
        called: what to call it in errors; the directory by default.

    Raises:
        UsageError: there is none that can be read.
        InvalidDataError: it is of another kind of adapter.
    """
    called = called or str(directory)
    try:
        config = json.loads((directory / CONFIG_NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise _no_adapter(called, error) from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else config
        _refuse(called, f"peft_type {kind!r}")
    return config


def _no_adapter(called: str, error: Exception) -> UsageError:
    return UsageError(
        f"no PEFT adapter at {called}: expected {CONFIG_NAME} and {TENSORS_NAME}"
        f" ({error})"
    )


def _refuse_special(called: str, config: Mapping[str, Any]) -> None:
    for field, value in sorted(config.items()):
        allowed = _NEUTRAL.get(field, (None,))
        if value and field not in _HARMLESS and value not in allowed:
            _refuse(called, f"{field} {value!r}")


def _scaling(called: str, config: Mapping[str, Any], path: str) -> tuple[int, float]:
    """Rank and scaling of a module, by the patterns or else by the defaults."""
    rank = _by_pattern(called, config, "rank_pattern", path, config.get("r"))
    alpha = _by_pattern(called, config, "alpha_pattern", path, config.get("lora_alpha"))
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or rank < 1:
        _refuse(called, f"r {rank!r} and lora_alpha {alpha!r}")
    return rank, float(alpha / rank**0.5 if config.get("use_rslora") else alpha / rank)


def _by_pattern(
    called: str, config: Mapping[str, Any], field: str, path: str, default: Any
) -> Any:
    """What a pattern says for a module.

    Source:
        peft 0.21, `utils/other.py`, `get_pattern_key`: the first key that matches the
        end of the path, as a regular expression from one dot to the end.
    """
    pattern = config.get(field) or {}
    if not isinstance(pattern, dict):
        _refuse(called, f"{field} {pattern!r}")
    for key, value in pattern.items():
        try:
            found = re.match(rf"(.*\.)?({key})$", path)
        except re.error:
            _refuse(called, f"{field} {key!r}, which is no pattern")
        if found:
            return value
    return default


def _pair(
    called: str, tensors: Mapping[str, Tensor], key: str, rank: int
) -> tuple[Tensor, Tensor]:
    """The factors A and B that a key belongs to."""
    a_key = key.replace(".lora_B.weight", ".lora_A.weight")
    b_key = a_key.replace(".lora_A.weight", ".lora_B.weight")
    pair = tensors.get(a_key), tensors.get(b_key)
    if a_key == b_key or pair[0] is None or pair[1] is None:
        _refuse(called, f"the tensor {key}")
    if pair[0].shape[:1] != (rank,) or pair[1].shape[1:] != (rank,):
        _refuse(called, f"factors of another rank than {rank} at {key}")
    return pair[0], pair[1]


def _refuse(called: str, what: str) -> NoReturn:
    message = (
        f"{called}: an adapter with {what} is more than plain changes of linear"
        " weights, or broken; merge it with PEFT first and go on with the merged model"
    )
    raise InvalidDataError(message)
