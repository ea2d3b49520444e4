"""A target in memory, with its exact weights beside it, so that repairs can be tried.

The model computes in the faster dtype; its float32 weights are kept, and every repair
is added to them before rounding, so all rows are rounded once and alike.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.demo.models import compute_dtype
from safegene.artifact.architecture import architecture_from_config


class LoadedTarget:
    """A target, ready to be repaired and to be put back.

    Args:
        model: in float32; it is changed to the dtype to compute in.
        tokenizer: its tokenizer.
        dtype: to compute in.
    """

    def __init__(self, model: Any, tokenizer: Any, dtype: torch.dtype) -> None:
        self.tokenizer = tokenizer
        self.dtype = dtype
        self.weights: dict[str, Tensor] = {
            name: parameter.detach().clone()
            for name, parameter in model.named_parameters()
        }
        self.linear = tuple(
            f"{module.path}.weight"
            for module in architecture_from_config(model.config.to_dict()).modules
        )
        self.model = model.to(dtype).eval()

    @classmethod
    def open(cls, directory: Path, adapter: Path | None = None) -> "LoadedTarget":
        """Load a checkpoint, a task adapter merged in if there is one."""
        model = load_exact(directory, adapter)
        tokenizer = AutoTokenizer.from_pretrained(directory)
        return cls(model, tokenizer, compute_dtype())

    @contextmanager
    def changed(self, delta: Mapping[str, Tensor]) -> Iterator[Any]:
        """The model with something added to its weights, until the block ends."""
        parameters = dict(self.model.named_parameters())
        try:
            with torch.no_grad():
                for name, change in delta.items():
                    parameters[name].copy_(self.weights[name] + change)
            yield self.model
        finally:
            with torch.no_grad():
                for name in delta:
                    parameters[name].copy_(self.weights[name])

    def exact_model(self) -> Any:
        """A float32 copy of the target that can be trained."""
        config = type(self.model.config).from_dict(self.model.config.to_dict())
        copy = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for name, parameter in copy.named_parameters():
                parameter.copy_(self.weights[name])
        copy.generation_config = self.model.generation_config
        return copy.eval()


def load_exact(directory: Path, adapter: Path | None = None) -> Any:
    """A checkpoint in float32, an adapter merged in if given."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
        model = model.merge_and_unload()
    return model.eval()


def weights_of(directory: Path) -> dict[str, Tensor]:
    """Every parameter of a checkpoint, float32, by name."""
    return {
        name: parameter.detach()
        for name, parameter in load_exact(directory).named_parameters()
    }
