"""One PEFT adapter out of a vector and a task adapter; needs torch.

Serving stacks apply one adapter a request. The factors of both are put side by side,
which is exact: the rank of the result is the sum of the two.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from safegene.artifact.manifest import CONFIG_NAME, TENSORS_NAME
from safegene.artifact.vectorfile import factor_key
from safegene.errors import InvalidDataError
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.merge import read_lora_adapter
from safegene.vectors.vector import SafetyVector


def combined_with_adapter(vector: SafetyVector, adapter: Path) -> SafetyVector:
    """The vector with a task adapter's updates added, coefficients folded in before.

    Args:
        vector: scaled as it is to be applied.
        adapter: directory of a plain PEFT LoRA adapter.

    Raises:
        UsageError: there is no adapter.
        InvalidDataError: it changes something that a servable adapter cannot hold.
    """
    task = _task_factors(vector, adapter)
    factors = {
        module.path: _side_by_side(
            [
                part
                for part in (vector.factors.get(module.path), task.get(module.path))
                if part is not None
            ]
        )
        for module in vector.architecture.modules
        if module.path in vector.factors or module.path in task
    }
    return replace(
        vector, factors=factors, selected_layers=None, identity=None, digest=None
    )


def _task_factors(vector: SafetyVector, adapter: Path) -> dict[str, LowRankFactors]:
    # Refuses adapters that are more than plain weight changes.
    paths = read_lora_adapter(adapter)
    config = json.loads((adapter / CONFIG_NAME).read_bytes())
    tensors = load_file(adapter / TENSORS_NAME)
    found: dict[str, LowRankFactors] = {}
    for path in paths:
        if vector.architecture.module(path) is None:
            message = (
                f"{adapter} changes {path}, which is no linear module of a layer; a"
                " combined adapter cannot hold it: merge it into the model instead"
                " (`safegene merge`)"
            )
            raise InvalidDataError(message)
        a, b = (tensors[factor_key(path, factor)].float() for factor in ("A", "B"))
        found[path] = LowRankFactors(a, b * _scaling(config))
    return found


def _scaling(config: dict[str, Any]) -> float:
    rank = config["r"] ** 0.5 if config.get("use_rslora") else config["r"]
    return float(config["lora_alpha"] / rank)


def _side_by_side(parts: list[LowRankFactors]) -> LowRankFactors:
    return LowRankFactors(
        torch.cat([part.a_RI for part in parts]),
        torch.cat([part.b_OR for part in parts], dim=1),
    )
