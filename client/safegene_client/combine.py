"""One PEFT adapter out of a vector and a task adapter; needs torch.

Serving stacks apply one adapter a request. The factors of both are put side by side,
which is exact: the rank of the result is the sum of the two.
"""

from dataclasses import replace
from pathlib import Path

import torch

from safegene.errors import InvalidDataError
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.lora_adapter import read_lora_adapter
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
    found = read_lora_adapter(adapter)
    for path in found:
        if vector.architecture.module(path) is None:
            message = (
                f"{adapter} changes {path}, which is no linear module of a layer; a"
                " combined adapter cannot hold it: merge it into the model instead"
                " (`safegene merge`)"
            )
            raise InvalidDataError(message)
    return found


def _side_by_side(parts: list[LowRankFactors]) -> LowRankFactors:
    return LowRankFactors(
        torch.cat([part.a_RI for part in parts]),
        torch.cat([part.b_OR for part in parts], dim=1),
    )
