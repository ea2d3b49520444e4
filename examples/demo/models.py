"""The four models of the demo's story, each made once and cached."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.demo.base_model import unpack_base_model
from examples.demo.tuning import Progress, Tuning, tune_adapter
from safegene.evaluation.rows import PromptRow


def compute_dtype() -> torch.dtype:
    """The faster of bfloat16 and float32 on this processor."""
    # Private probes: torch offers no public one, and emulated bfloat16 is far slower.
    native = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001
    return torch.bfloat16 if native else torch.float32


def make_shipped(directory: Path) -> None:
    """Write the model as shipped; it plays the degraded model of the pair."""
    unpack_base_model(directory)


def make_aligned(
    directory: Path,
    shipped: Path,
    rows: tuple[PromptRow, ...],
    tuning: Tuning,
    progress: Progress,
) -> None:
    """Tune the shipped model on safe and helpful answers; write a full checkpoint."""
    adapter = directory / "adapter"
    tuned = tune_adapter(
        shipped, rows, tuning, dtype=compute_dtype(), progress=progress
    )
    tuned.save_pretrained(adapter)
    # Merged in float32, as in `load_model`.
    base = AutoModelForCausalLM.from_pretrained(shipped, dtype=torch.float32)
    merged = PeftModel.from_pretrained(
        base, adapter, autocast_adapter_dtype=False
    ).merge_and_unload()
    merged.save_pretrained(directory)
    AutoTokenizer.from_pretrained(shipped).save_pretrained(directory)


def make_task_adapter(
    directory: Path,
    aligned: Path,
    rows: tuple[PromptRow, ...],
    tuning: Tuning,
    progress: Progress,
) -> None:
    """Fine-tune the aligned model on the harmless task; write the PEFT adapter."""
    tuned = tune_adapter(
        aligned, rows, tuning, dtype=compute_dtype(), progress=progress
    )
    tuned.save_pretrained(directory)


def load_model(directory: Path, adapter: Path | None = None) -> Any:
    """Load a checkpoint for evaluation, with the task adapter merged in if given.

    A merged adapter costs nothing per token; the demo answers thousands of prompts. It
    is merged in float32, for bfloat16 weights would swallow part of so small an update.
    """
    dtype = compute_dtype() if adapter is None else torch.float32
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
        model = model.merge_and_unload().to(compute_dtype())
    return model.eval()
