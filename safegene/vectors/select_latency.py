"""How much a vector slows down decoding on one target, and what fits a limit.

An unmerged vector costs a few small matrix products a module and token, and for small
models mostly the calls themselves: it depends on target and machine, so it is measured.
A merged vector costs nothing. Timing is per token, one sequence, with a cache.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from safegene.errors import UsageError
from safegene.evaluation.batches import text_config
from safegene.vectors.attach import attach
from safegene.vectors.recalibrate.forward import steady
from safegene.vectors.vector import SafetyVector

PROMPT_TOKENS = 16
STEPS = 16
"""Tokens decoded in one timing."""
ROUNDS = 5
"""Timings without and with the vector, in turn, so that a busy machine hits both."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Fit:
    """The most layers within a limit."""

    layers: tuple[int, ...]
    """The best ones, rising."""
    slowdown: float
    """Seconds a token with them over without any, as measured."""


def decode_slowdown(
    model: Any,
    vector: SafetyVector,
    layers: Sequence[int],
    *,
    clock: Clock = time.perf_counter,
) -> float:
    """Seconds a decoded token with some layers attached, relative to without any.

    Args:
        model: the target, without the vector; left exactly as it was.
        vector: what is attached.
        layers: which of its layers.
        clock: seconds; for tests.

    Returns:
        Median over the rounds; 1.05 is five percent slower.
    """
    kept = vector.with_selection({}, tuple(sorted(layers)))
    ratios = []
    with steady(model), torch.no_grad():
        _decode(model, clock)  # first calls compile and allocate
        for _ in range(ROUNDS):
            plain = _decode(model, clock)
            with attach(model, kept):
                ratios.append(_decode(model, clock) / plain)
    return statistics.median(ratios)


def _decode(model: Any, clock: Clock) -> float:
    """Seconds that decoding a few tokens takes."""
    device = next(model.parameters()).device
    cache = DynamicCache(config=text_config(model))
    ids = torch.zeros((1, PROMPT_TOKENS), dtype=torch.long, device=device)
    model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    next_one = ids[:, :1]
    _settle(device)
    start = clock()
    for _ in range(STEPS):
        model(
            input_ids=next_one, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
    _settle(device)
    return clock() - start


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def most_layers(
    ranked: Sequence[int],
    limit: float,
    measure: Callable[[tuple[int, ...]], float],
) -> Fit:
    """The most of the best layers whose measured slow-down is within a limit.

    Slow-down grows with the number of layers, so it is bisected: about log2 of their
    number of measurements.

    Args:
        ranked: layers, best first.
        limit: the most slow-down, such as 1.05.
        measure: the slow-down of some layers.

    Raises:
        UsageError: the limit is below 1, or the best layer alone is over it.
    """
    if not 1 <= limit < float("inf"):
        message = f"latency: expected a ratio of at least 1, such as 1.05, got {limit}"
        raise UsageError(message)
    fits: Fit | None = None
    low, high, least = 0, len(ranked), 1.0
    while low < high:
        # All of them first: where that fits, there is nothing to leave out.
        count = high if fits is None and high == len(ranked) else (low + high + 1) // 2
        layers = tuple(sorted(ranked[:count]))
        slowdown = measure(layers)
        if slowdown <= limit:
            fits, low = Fit(layers, slowdown), count
        else:
            high = count - 1
            least = slowdown
    if fits is None:
        message = (
            f"latency: one layer alone slows decoding down {least:.3f} times, above"
            f" the limit of {limit:g}; raise the limit, or merge the vector, which"
            " costs nothing per token"
        )
        raise UsageError(message)
    return fits
