"""Gibberish that the eye of a rule misses: answers an untouched model finds unlikely.

Mean negative log-likelihood per token of an answer under a model of the same base that
nothing was done to. The threshold comes from answers known to be good, for instance the
99th percentile of the aligned model's own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch.nn import functional

from safegene.errors import InvalidDataError
from safegene.evaluation.batches import inference, sorted_batches
from safegene.vectors.chat import encode_pair

BATCH_SIZE = 8
GOOD_SHARE = 0.99


@dataclass(frozen=True)
class PlausibilityCheck:
    """A base model and a threshold, callable as `evaluate_model` wants it."""

    base_model: Any
    tokenizer: Any
    threshold: float
    """Nats per token above which an answer is implausible."""

    @classmethod
    def learned(
        cls,
        base_model: Any,
        tokenizer: Any,
        prompts: Sequence[str],
        answers: Sequence[str],
    ) -> Self:
        """Take the threshold from answers known to be good.

        Args:
            base_model: the untouched model.
            tokenizer: its tokenizer.
            prompts: what the user said.
            answers: good answers, such as the aligned model's.

        Raises:
            InvalidDataError: there are none, or they do not pair up.
        """
        found = answer_surprise(base_model, tokenizer, prompts, answers)
        return cls(base_model, tokenizer, plausibility_threshold(found))

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> list[bool]:
        """Say which answers are implausible."""
        return implausible_answers(
            self.base_model,
            self.tokenizer,
            prompts,
            answers,
            threshold=self.threshold,
        )


def implausible_answers(
    base_model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    answers: Sequence[str],
    *,
    threshold: float,
) -> list[bool]:
    """Tell which answers an untouched model of the same base finds too unlikely.

    Args:
        base_model: the untouched model.
        tokenizer: its tokenizer.
        prompts: what the user said.
        answers: what was answered.
        threshold: nats per token, see `plausibility_threshold`.

    Raises:
        InvalidDataError: prompts and answers do not pair up.
    """
    found = answer_surprise(base_model, tokenizer, prompts, answers)
    return [surprise > threshold for surprise in found]


def plausibility_threshold(surprises: Sequence[float]) -> float:
    """The 99th percentile (nearest rank) of the surprise of good answers.

    Raises:
        InvalidDataError: there are no answers to learn from.
    """
    if not surprises:
        detail = "a threshold needs the surprise of at least one good answer, got none"
        raise InvalidDataError(detail)
    ordered = sorted(surprises)
    return ordered[math.ceil(GOOD_SHARE * len(ordered)) - 1]


def answer_surprise(
    base_model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    answers: Sequence[str],
    *,
    batch_size: int = BATCH_SIZE,
) -> list[float]:
    """Mean negative log-likelihood of each answer's tokens, in nats; 0 for none.

    The end-of-answer token is left out: an answer that was cut has none.

    Raises:
        InvalidDataError: prompts and answers do not pair up.
    """
    if len(prompts) != len(answers):
        detail = (
            f"expected one answer per prompt, got {len(answers)} for {len(prompts)}"
        )
        raise InvalidDataError(detail)
    pairs = [
        encode_pair(tokenizer, prompt, answer)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    surprises = [0.0] * len(pairs)
    with inference(base_model):
        for batch in sorted_batches([ids for ids, _ in pairs], batch_size):
            found = _surprises(base_model, [pairs[index] for index in batch])
            for index, surprise in zip(batch, found, strict=True):
                surprises[index] = surprise
    return surprises


def _surprises(model: Any, pairs: Sequence[tuple[list[int], int]]) -> list[float]:
    width = max(len(ids) for ids, _ in pairs)
    ids = torch.zeros((len(pairs), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    scored = torch.zeros((len(pairs), width - 1))
    for row, (tokens, start) in enumerate(pairs):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        # Position t predicts token t + 1; the last token is the end of the answer.
        scored[row, start - 1 : len(tokens) - 2] = 1.0
    device = next(model.parameters()).device
    ids, mask, scored = ids.to(device), mask.to(device), scored.to(device)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
    losses = functional.cross_entropy(
        logits.transpose(1, 2), ids[:, 1:], reduction="none"
    )
    means: list[float] = (
        (losses * scored).sum(1) / scored.sum(1).clamp(min=1)
    ).tolist()
    return means
