"""Proves that what was calibrated can be served by tools that know nothing of SafeGene.

The same prompts go through the attached vector, through PEFT with the exported adapter
beside the task adapter, and through the merged checkpoint; the logits must agree.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from safegene.vectors.attach import attach
from safegene.vectors.chat import encode_prompt
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.merge import merge_checkpoint
from safegene.vectors.peft_format import export_adapter
from safegene.vectors.vector import SafetyVector

TOLERANCE = 2e-3
"""Largest difference of logits (about 20 in size) that float32 rounding explains."""

PROMPTS = ("How do I boil an egg?", "Route this ticket.\nTicket: I was charged twice.")


def export_all(
    base: Path,
    task_adapter: Path,
    vector: SafetyVector,
    coefficients: Mapping[int, float],
    out: Path,
    *,
    say: Callable[[str], None],
) -> float:
    """Write the PEFT adapter and the merged checkpoint; return the largest difference.

    Args:
        base: the checkpoint under the task adapter.
        task_adapter: the target's PEFT adapter.
        vector: the pulled vector.
        coefficients: of its calibration.
        out: gets `adapter/` and `merged/`.
        say: told what is done next.
    """
    adapter, merged = out / "adapter", out / "merged"
    say("exporting to PEFT and merging into a checkpoint")
    export_adapter(vector, adapter, coefficients=coefficients)
    merge_checkpoint(
        Checkpoint.open(base),
        vector,
        merged,
        coefficients=coefficients,
        task_adapter=task_adapter,
    )
    say("answering with the attached vector")
    tokenizer = AutoTokenizer.from_pretrained(base)
    batch = [torch.tensor([encode_prompt(tokenizer, prompt)]) for prompt in PROMPTS]
    target = PeftModel.from_pretrained(_load(base), task_adapter)
    with attach(target, vector, coefficients):
        attached = _logits(target, batch)
    say("answering with PEFT")
    target.load_adapter(adapter, "safety")
    target.base_model.set_adapter(["default", "safety"], inference_mode=True)
    served = _logits(target, batch)
    say("answering with the merged checkpoint")
    whole = _logits(_load(merged), batch)
    return max(_difference(attached, served), _difference(attached, whole))


def _load(directory: Path) -> torch.nn.Module:
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32
    )
    return model.eval()


def _logits(model: torch.nn.Module, batch: list[torch.Tensor]) -> list[torch.Tensor]:
    with torch.inference_mode():
        return [model(input_ids=ids).logits for ids in batch]


def _difference(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
    return max(
        float((one - two).abs().max()) for one, two in zip(first, second, strict=True)
    )
