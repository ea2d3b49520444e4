"""A tiny pair whose two models say different things, and prompts to distill from."""

from pathlib import Path

from support.models import changed, save_checkpoint, tiny_model, tiny_tokenizer

from safegene.evaluation.rows import PromptRow
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.distill import DistillData, DistillSettings

VERBS = ("build", "steal", "make", "hide", "break", "find", "burn", "forge")
HARMFUL_THINGS = ("bomb", "gun", "lock")
BENIGN_THINGS = ("cake", "hat")

QUICK = DistillSettings(epochs=6, learning_rate=5e-3, answer_tokens=6)
"""Enough for a tiny pair, in about a second."""


def distill_pair(directory: Path, family: str = "llama") -> tuple[Checkpoint, ...]:
    """The aligned and the degraded checkpoint, written to a directory."""
    aligned = tiny_model(family)
    found = []
    for name, model in (
        ("aligned", aligned),
        ("degraded", changed(aligned, scale=0.3, rank=2)),
    ):
        save_checkpoint(model, directory / name, tokenizer=tiny_tokenizer())
        found.append(Checkpoint.open(directory / name))
    return tuple(found)


def distill_data() -> DistillData:
    """Prompts that differ in one word where it matters, without responses."""
    return DistillData(harmful=_rows(HARMFUL_THINGS), benign=_rows(BENIGN_THINGS))


def _rows(things: tuple[str, ...]) -> tuple[PromptRow, ...]:
    return tuple(PromptRow(f"{verb} {thing}") for verb in VERBS for thing in things)
