"""Loads a target for the commands: model, task adapter, tokenizer; needs torch.

Never imported at the top of another module, so that `--help` costs no torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from safegene.errors import InvalidDataError, UsageError
from safegene_client.targets import ADAPTER_CONFIG_NAME, describe_model

AUTO_DEVICE = "auto"


@dataclass(frozen=True)
class LoadedTarget:
    """A model ready to run, with its tokenizer."""

    model: Any
    tokenizer: Any


def load_target(
    directory: Path,
    *,
    adapter: Path | None = None,
    device: str = AUTO_DEVICE,
    verbose: bool = False,
) -> LoadedTarget:
    """Load a model in its stored dtype, with its task adapter unmerged.

    Args:
        directory: as `save_pretrained` writes it; nothing is downloaded.
        adapter: directory of the task's PEFT adapter.
        device: such as `cpu` or `cuda:0`; `auto` takes a GPU where there is one.
        verbose: let transformers show its own progress.

    Raises:
        UsageError: there is no model, adapter or device of this name.
        InvalidDataError: it is there but cannot be loaded.
    """
    describe_model(directory)
    if adapter is not None and not (adapter / ADAPTER_CONFIG_NAME).is_file():
        message = (
            f"no PEFT adapter at {adapter}: expected a directory with"
            f" {ADAPTER_CONFIG_NAME}"
        )
        raise UsageError(message)
    place = _device(device)
    if not verbose:
        transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype="auto", local_files_only=True
        )
        if adapter is not None:
            model = PeftModel.from_pretrained(model, str(adapter))
    except (
        OSError,
        ValueError,
        KeyError,
        RuntimeError,
        ImportError,
        SafetensorError,
    ) as error:
        what = f"{directory} with {adapter}" if adapter else str(directory)
        first = (str(error).splitlines() or [type(error).__name__])[0]
        message = f"{what}: cannot be loaded: {first}"
        raise InvalidDataError(message) from error
    return LoadedTarget(model.to(place).eval(), tokenizer)


def _device(name: str) -> torch.device:
    if name == AUTO_DEVICE:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        message = f"--device {name}: {first}; try cpu"
        raise UsageError(message) from None
    return device
