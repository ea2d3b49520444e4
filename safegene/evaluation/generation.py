"""Greedy answers to prompts, as a chat user would see them.

Deterministic: the same model, prompts and batch size give the same answers. (Another
batch size pads differently, and rounding can then tip a tie.) Written for few CPU
cores: batches of similar length, one shared prefill, finished rows leave the batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

from safegene.errors import UsageError
from safegene.evaluation.batches import (
    greedy_continuation,
    inference,
    sorted_batches,
    stop_ids_of,
)
from safegene.vectors.chat import encode_prompt

MAX_NEW_TOKENS = 32
"""Enough to tell a refusal from compliance, which the first words decide."""
BATCH_SIZE = 16

Progress = Callable[[int, int], None]
"""Called with prompts done and all prompts."""


def generate_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> list[str]:
    """Answer every prompt greedily.

    Args:
        model: a causal language model of any dtype, plain or wrapped by PEFT; what is
            attached to it takes part.
        tokenizer: its tokenizer, with or without a chat template.
        prompts: what the user says.
        max_new_tokens: where an unfinished answer is cut.
        batch_size: prompts in one batch.
        progress: called after each batch.

    Returns:
        One answer per prompt, in order, without special tokens or outer spaces.

    Raises:
        UsageError: `max_new_tokens` or `batch_size` is below one.
    """
    if max_new_tokens < 1:
        detail = f"expected at least 1 new token, got {max_new_tokens}"
        raise UsageError(detail)
    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    stop_ids = stop_ids_of(model, tokenizer)
    answers = [""] * len(prompts)
    done = 0
    with inference(model):
        for batch in sorted_batches(encoded, batch_size):
            continued = greedy_continuation(
                model,
                [encoded[index] for index in batch],
                stop_ids=stop_ids,
                max_new_tokens=max_new_tokens,
            )
            for index, tokens in zip(batch, continued, strict=True):
                text = tokenizer.decode(tokens, skip_special_tokens=True)
                answers[index] = text.strip()
            done += len(batch)
            if progress is not None:
                progress(done, len(prompts))
    return answers
