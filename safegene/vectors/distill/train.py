"""The training loop: match on harmful prompts, stay on benign ones.

Each step runs a batch of each kind; their gradients add up before the optimizer moves.
Shapes: M answer tokens of all rows of a batch together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safegene.errors import NonFiniteTensorError
from safegene.vectors.distill.lesson import Lesson
from safegene.vectors.distill.settings import (
    HELD_BACK_SHARE,
    LEAST_HELD_BACK,
    DistillSettings,
)

BATCHES_PER_BUCKET = 8
"""Batches whose rows are sorted by length together: saves padding, still mixes."""
LARGEST_GRADIENT = 1.0
"""Norm that the gradient of all factors is clipped to."""
LOWEST_RATE = 0.1
"""Share of the learning rate that is left at the end."""

Count = Callable[[int, int], None]


@dataclass(frozen=True)
class Split:
    """Rows that are trained on and rows that only tell what was learnt."""

    train: tuple[int, ...]
    held_back: tuple[int, ...]


def split(count: int, generator: torch.Generator) -> Split:
    """Hold back an eighth of the rows, at least four, at random."""
    order = torch.randperm(count, generator=generator).tolist()
    cut = max(LEAST_HELD_BACK, round(count * HELD_BACK_SHARE))
    return Split(tuple(order[cut:]), tuple(order[:cut]))


def train(
    model: Any,
    parameters: Sequence[Tensor],
    lessons: tuple[Lesson, Lesson],
    rows: tuple[Sequence[int], Sequence[int]],
    settings: DistillSettings,
    *,
    generator: torch.Generator,
    progress: Count | None = None,
) -> int:
    """Train the factors and return the number of steps.

    Args:
        model: frozen, factors attached.
        parameters: what is trained.
        lessons: of the harmful and of the benign prompts.
        rows: of each lesson, those to train on.
        settings: rates, weights, sizes.
        generator: of the order.
        progress: called with steps done and all steps.

    Raises:
        NonFiniteTensorError: the loss became NaN or infinite; the message names the
            step.
    """
    harmful, benign = lessons
    size = settings.batch_size
    a_pass = -(-len(rows[0]) // size)
    steps = settings.steps or settings.epochs * a_pass
    optimizer = torch.optim.AdamW(
        list(parameters), lr=settings.learning_rate, weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_share(step, steps, settings.warmup_share)
    )
    parts = zip(
        range(1, steps + 1),
        _endless(harmful, rows[0], size, generator),
        _endless(benign, rows[1], size, generator),
        strict=False,
    )
    for step, harmful_batch, benign_batch in parts:
        value = _add_gradients(_loss(model, harmful, harmful_batch, settings))
        if settings.benign_weight > 0:
            loss = _loss(model, benign, benign_batch, settings)
            value += _add_gradients(settings.benign_weight * loss)
        norm = torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
        if not bool(torch.isfinite(norm + value)):
            message = (
                f"distillation: the loss is not finite in step {step} of {steps}; try a"
                " lower learning rate, or float32"
            )
            raise NonFiniteTensorError(message, module="loss")
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if progress is not None:
            progress(step, steps)
    return steps


def learning_share(step: int, steps: int, warmup_share: float) -> float:
    """Share of the learning rate at `step`: up over the warm-up, then down."""
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return max(LOWEST_RATE, (steps - step) / max(1, steps - warmup))


def _loss(
    model: Any, lesson: Lesson, indices: Sequence[int], settings: DistillSettings
) -> Tensor:
    """Mean KL of the answer tokens, the opening ones weighted."""
    kl_M = lesson.token_kls(model, indices)
    weights: list[float] = []
    for at in indices:
        length = lesson.rows[at].answer_length
        opening = min(length, settings.opening_tokens)
        weights += [settings.opening_weight] * opening + [1.0] * (length - opening)
    weight_M = torch.tensor(weights, device=kl_M.device)
    # Answers of opening tokens only may all have weight 0; they then teach nothing.
    return (kl_M * weight_M).sum() / weight_M.sum().clamp_min(1e-6)


def _add_gradients(loss: Tensor) -> float:
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not say
    return float(loss.detach())


def _endless(
    lesson: Lesson, rows: Sequence[int], size: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """Batches of similar length in random order, pass after pass."""
    while True:
        order = [
            rows[at] for at in torch.randperm(len(rows), generator=generator).tolist()
        ]
        bucket = size * BATCHES_PER_BUCKET
        groups = [
            batch
            for start in range(0, len(order), bucket)
            for batch in lesson.batches(order[start : start + bucket], size)
        ]
        for at in torch.randperm(len(groups), generator=generator).tolist():
            yield groups[at]
