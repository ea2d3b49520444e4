"""Left-padded batches and the greedy step that generation, accuracy and margin share.

Prompts are grouped by length, longest first, so little is padded and the largest batch
fails first if memory is short. Prompts run through the model once; what follows reads
their key-value cache.

Shapes: B batch, T tokens, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from safegene.errors import UsageError


@dataclass
class Prefill:
    """Prompts after their run through the model, ready to be continued."""

    logits_BV: Tensor
    """Scores of the first token after each prompt."""
    mask_BT: Tensor
    """1 on prompt tokens, 0 on the padding to their left."""
    cache: DynamicCache

    def select(self, rows: Tensor) -> None:
        """Keep only these rows of the mask and the cache."""
        self.mask_BT = self.mask_BT[rows]
        self.cache.batch_select_indices(rows)

    def repeat(self, times: int) -> None:
        """Repeat every row of the mask and the cache in place, neighbors together."""
        self.mask_BT = self.mask_BT.repeat_interleave(times, dim=0)
        self.cache.batch_repeat_interleave(times)


@contextmanager
def inference(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients; the model's own mode comes back after."""
    was_training = bool(model.training)
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def sorted_batches(
    sequences: Sequence[Sequence[int]], batch_size: int
) -> Iterator[list[int]]:
    """Yield the indices of the sequences in batches of similar length, longest first.

    Raises:
        UsageError: the batch size is below one.
    """
    if batch_size < 1:
        detail = f"expected a batch size of at least 1, got {batch_size}"
        raise UsageError(detail)
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]), reverse=True)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def prefill(model: Any, sequences: Sequence[Sequence[int]]) -> Prefill:
    """Run prompts through the model once and keep their cache.

    Only the last position's logits are computed: for a small model the output head
    costs more than all layers together.
    """
    width = max(len(ids) for ids in sequences)
    ids_BT = torch.zeros((len(sequences), width), dtype=torch.long)
    mask_BT = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, ids in enumerate(sequences):
        ids_BT[row, width - len(ids) :] = torch.tensor(ids)
        mask_BT[row, width - len(ids) :] = 1
    device = next(model.parameters()).device
    ids_BT, mask_BT = ids_BT.to(device), mask_BT.to(device)
    cache = DynamicCache(config=text_config(model))
    output = model(
        input_ids=ids_BT,
        attention_mask=mask_BT,
        position_ids=(mask_BT.cumsum(1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return Prefill(output.logits[:, -1].float(), mask_BT, cache)


def extend(model: Any, state: Prefill, ids_BT: Tensor) -> Tensor:
    """Feed the next tokens of every row and return their logits [B, T, V]."""
    added = torch.ones_like(ids_BT)
    state.mask_BT = torch.cat([state.mask_BT, added], dim=1)
    positions_BT = (state.mask_BT.cumsum(1) - 1)[:, -ids_BT.shape[1] :]
    output = model(
        input_ids=ids_BT,
        attention_mask=state.mask_BT,
        position_ids=positions_BT,
        past_key_values=state.cache,
        use_cache=True,
    )
    logits: Tensor = output.logits
    return logits


def greedy_continuation(
    model: Any,
    sequences: Sequence[Sequence[int]],
    *,
    stop_ids: frozenset[int],
    max_new_tokens: int,
) -> list[list[int]]:
    """Continue every sequence with its likeliest tokens.

    A row that is done leaves the batch at once, so the rest goes on cheaper.

    Args:
        model: a causal language model, in `inference`.
        sequences: token ids of the prompts.
        stop_ids: tokens that end an answer; they are not part of it.
        max_new_tokens: the most tokens of an answer.

    Returns:
        The new tokens of each sequence, in the order given.
    """
    answers: list[list[int]] = [[] for _ in sequences]
    state = prefill(model, sequences)
    logits_BV = state.logits_BV
    alive = list(range(len(sequences)))
    while True:
        chosen = logits_BV.argmax(dim=-1).tolist()
        kept = [row for row, token in enumerate(chosen) if token not in stop_ids]
        for row in kept:
            answers[alive[row]].append(chosen[row])
        if not kept or len(answers[alive[kept[0]]]) >= max_new_tokens:
            return answers
        if len(kept) < len(alive):
            state.select(torch.tensor(kept, device=logits_BV.device))
            alive = [alive[row] for row in kept]
        next_ids = [[chosen[row]] for row in kept]
        step_B1 = torch.tensor(next_ids, device=logits_BV.device)
        logits_BV = extend(model, state, step_B1)[:, -1]


def stop_ids_of(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer, by the tokenizer's and the model's own word."""
    configured = getattr(model, "generation_config", None)
    named = [tokenizer.eos_token_id, getattr(configured, "eos_token_id", None)]
    ids: set[int] = set()
    for value in named:
        if isinstance(value, int):
            ids.add(value)
        elif value is not None:
            ids.update(value)
    return frozenset(ids)


def text_config(model: Any) -> Any:
    """The configuration of the language model inside, PEFT wrappers taken off."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.config.get_text_config(decoder=True)


def tail_logits(model: Any, rows: Sequence[Sequence[int]], keep: int) -> Tensor:
    """Logits [B, K, V] of the last `keep` positions of rows of token ids.

    Rows are padded on the left, so the ends of all stand in one place, and only the
    logits that are looked at are computed. In the model's dtype, on its device.
    """
    width = max(map(len, rows))
    device = next(model.parameters()).device
    ids_BT = torch.zeros((len(rows), width), dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for place, tokens in enumerate(rows):
        ids_BT[place, width - len(tokens) :] = torch.tensor(tokens)
        mask_BT[place, width - len(tokens) :] = 1
    output = model(
        input_ids=ids_BT.to(device),
        attention_mask=mask_BT.to(device),
        position_ids=(mask_BT.cumsum(1) - 1).clamp(min=0).to(device),
        use_cache=False,
        logits_to_keep=keep,
    )
    logits_BKV: Tensor = output.logits[:, -keep:]
    return logits_BKV
