"""How far a model has moved from a reference: KL in nats per token, whole vocabulary.

The reference answers prompts greedily and its log-probabilities at every token of its
own answers go to disk, two bytes a vocabulary entry; then any number of other models is
measured against them, one in memory at a time. KL(reference || model) is 0 for the
reference itself and never below.

Shapes: B prompts, K positions, V vocabulary, N stored positions.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safegene.errors import InvalidDataError, UsageError
from safegene.evaluation.batches import (
    greedy_continuation,
    inference,
    sorted_batches,
    stop_ids_of,
    tail_logits,
)
from safegene.evaluation.metrics import Estimate, mean
from safegene.vectors.chat import encode_prompt

ANSWER_TOKENS = 16
"""Of each answer: what a model does is decided early, and every token costs disk."""
BATCH_SIZE = 8
STORED = np.dtype(np.float16)
"""Log-probabilities keep three digits; normalised again when read, that moves KL by
less than a millionth of a nat."""


@dataclass(frozen=True)
class StoredSet:
    """What the reference said to one set of prompts, and how likely all else was."""

    sequences: tuple[tuple[int, ...], ...]
    """Token ids of each prompt with the reference's answer."""
    positions: tuple[int, ...]
    """Scored positions of each: one for every answer token and one for what follows."""
    path: Path
    """Log-probabilities [N, V] of all sequences, one after the other."""
    vocabulary: int

    @property
    def starts(self) -> list[int]:
        """Where each sequence's positions begin in the file."""
        return np.cumsum([0, *self.positions])[:-1].tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Reference:
    """A model's distributions on sets of prompts; made by `recorded_reference`."""

    sets: Mapping[str, StoredSet]

    def divergence(
        self, model: Any, *, batch_size: int = BATCH_SIZE
    ) -> dict[str, Estimate]:
        """KL of a model from the reference, by set: nats per token, mean over prompts.

        Raises:
            InvalidDataError: the model has another vocabulary, or its outputs are not
                finite.
        """
        found = {}
        for name, stored in self.sets.items():
            with inference(model):
                values = _divergences(model, stored, batch_size)
            found[name] = mean(values)
        return found


@contextmanager
def recorded_reference(
    model: Any,
    tokenizer: Any,
    prompts: Mapping[str, Sequence[str]],
    *,
    answer_tokens: int = ANSWER_TOKENS,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Reference]:
    """Write down what a model does; the files are gone when the block ends.

    Disk: at most `(answer_tokens + 1) * 2` bytes per prompt and vocabulary entry, 1.7
    MB a prompt for 49 152 entries.

    Args:
        model: the reference.
        tokenizer: its tokenizer.
        prompts: what the user says, by set; empty sets are left out.
        answer_tokens: how much of each answer counts.
        batch_size: prompts in one batch.

    Raises:
        UsageError: a size is below one.
    """
    if answer_tokens < 1:
        detail = f"expected at least 1 answer token, got {answer_tokens}"
        raise UsageError(detail)
    with tempfile.TemporaryDirectory(prefix="safegene-kl-") as place:
        sets = {}
        for number, (name, texts) in enumerate(prompts.items()):
            if not texts:
                continue
            path = Path(place) / f"{number}.f16"
            encoded = [encode_prompt(tokenizer, text) for text in texts]
            stop_ids = stop_ids_of(model, tokenizer)
            with inference(model):
                sets[name] = _record(
                    model, encoded, path, (stop_ids, answer_tokens, batch_size)
                )
        yield Reference(sets)


def _record(
    model: Any,
    encoded: Sequence[Sequence[int]],
    path: Path,
    effort: tuple[frozenset[int], int, int],
) -> StoredSet:
    stop_ids, answer_tokens, batch_size = effort
    answers: list[list[int]] = [[] for _ in encoded]
    for batch in sorted_batches(encoded, batch_size):
        continued = greedy_continuation(
            model,
            [encoded[index] for index in batch],
            stop_ids=stop_ids,
            max_new_tokens=answer_tokens,
        )
        for index, tokens in zip(batch, continued, strict=True):
            answers[index] = tokens
    sequences = [(*head, *tail) for head, tail in zip(encoded, answers, strict=True)]
    positions = [len(answer) + 1 for answer in answers]
    starts = np.cumsum([0, *positions])
    file: Any = None
    for batch in sorted_batches(sequences, batch_size):
        logits_BKV = _tail_logits(model, sequences, positions, batch)
        if file is None:
            shape = (int(starts[-1]), logits_BKV.shape[-1])
            file = np.memmap(path, STORED, "w+", shape=shape)
        for row, index in enumerate(batch):
            log_probs = logits_BKV[row, -positions[index] :].log_softmax(dim=-1)
            file[starts[index] : starts[index + 1]] = log_probs.cpu().numpy()
    file.flush()
    return StoredSet(tuple(sequences), tuple(positions), path, file.shape[1])


def _divergences(model: Any, stored: StoredSet, batch_size: int) -> list[float]:
    rows = sum(stored.positions)
    file = np.memmap(stored.path, STORED, "r", shape=(rows, stored.vocabulary))
    found = [0.0] * len(stored.sequences)
    starts = stored.starts
    for batch in sorted_batches(stored.sequences, batch_size):
        logits_BKV = _tail_logits(model, stored.sequences, stored.positions, batch)
        if logits_BKV.shape[-1] != stored.vocabulary:
            detail = (
                "KL compares models of one vocabulary: expected"
                f" {stored.vocabulary} entries as the reference has, got"
                f" {logits_BKV.shape[-1]}"
            )
            raise InvalidDataError(detail)
        for row, index in enumerate(batch):
            count, start = stored.positions[index], starts[index]
            wanted = torch.from_numpy(file[start : start + count].astype(np.float32))
            found[index] = _divergence(wanted, logits_BKV[row, -count:].cpu())
    return found


def _divergence(reference_KV: Tensor, logits_KV: Tensor) -> float:
    """Mean KL over positions; the reference is normalised again after its rounding."""
    wanted = reference_KV.double().log_softmax(dim=-1)
    got = logits_KV.double().log_softmax(dim=-1)
    share = wanted.exp()
    # A masked entry has probability 0 and adds nothing, though 0 * inf is no number.
    terms = torch.where(share > 0, share * (wanted - got), torch.zeros_like(share))
    value = float(terms.sum(dim=-1).mean())
    if not np.isfinite(value):
        detail = "KL is not a finite number: the model's outputs hold NaN or infinity"
        raise InvalidDataError(detail)
    return max(0.0, value)


def _tail_logits(
    model: Any,
    sequences: Sequence[Sequence[int]],
    positions: Sequence[int],
    batch: Sequence[int],
) -> Tensor:
    """Logits of the last positions of a batch [B, K, V]; K fits the longest answer."""
    keep = max(positions[index] for index in batch)
    return tail_logits(model, [sequences[index] for index in batch], keep).float()
