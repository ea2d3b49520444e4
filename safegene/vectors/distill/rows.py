"""Prompts with the answers that both models are forced along, as tokens.

Given answers are encoded; missing ones are the model's own, kept as the very tokens it
said: decoding and encoding again could split them differently.

Shapes: N rows of a batch, T tokens, K answer tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safegene.errors import InvalidDataError
from safegene.evaluation.batches import (
    extend,
    greedy_continuation,
    inference,
    prefill,
    sorted_batches,
    stop_ids_of,
    tail_logits,
)
from safegene.evaluation.rows import PromptRow
from safegene.vectors.chat import encode_pair, encode_prompt
from safegene.vectors.distill.settings import DistillSettings


@dataclass(frozen=True)
class AnswerRow:
    """A prompt and its answer."""

    ids: tuple[int, ...]
    start: int
    """Where the answer begins."""

    @property
    def answer_length(self) -> int:
        """Tokens of the answer, at least one."""
        return len(self.ids) - self.start


def answer_rows(
    model: Any,
    tokenizer: Any,
    rows: Sequence[PromptRow],
    settings: DistillSettings,
    *,
    generator: torch.Generator,
    kind: str,
) -> list[AnswerRow]:
    """Encode every row, in order; the model answers where a response is missing.

    Args:
        model: answers; nothing attached.
        tokenizer: its tokenizer.
        rows: prompts, with responses or without.
        settings: how answers are made and where they are cut.
        generator: of sampled answers.
        kind: what to call the rows in errors.

    Raises:
        InvalidDataError: a response is missing and the tokenizer has no chat template
            to ask for one, or an answer is empty; the message names the row.
    """
    silent = [at for at, row in enumerate(rows) if not row.response]
    if silent and not tokenizer.chat_template:
        detail = (
            f"{kind} row {silent[0] + 1} has no response, and the tokenizer has no chat"
            " template to ask the model for one; give responses, or a tokenizer with a"
            " chat template"
        )
        raise InvalidDataError(detail, row=silent[0] + 1)
    prompts = [encode_prompt(tokenizer, rows[at].prompt) for at in silent]
    own = dict(
        zip(silent, _own(model, tokenizer, prompts, settings, generator), strict=True)
    )
    most = settings.answer_tokens
    found = []
    for at, row in enumerate(rows):
        if row.response:
            ids, start = encode_pair(tokenizer, row.prompt, row.response)
        else:
            ids, start = own[at]
        if len(ids) <= start:
            detail = f"{kind} row {at + 1}: the answer holds no token to learn from"
            raise InvalidDataError(detail, row=at + 1)
        found.append(AnswerRow(tuple(ids[: start + most]), start))
    return found


def answer_logits(model: Any, rows: Sequence[AnswerRow]) -> Tensor:
    """Logits [N, K, V] before each answer token; a shorter answer's are last."""
    keep = max(row.answer_length for row in rows)
    # The last token predicts nothing that is looked at.
    return tail_logits(model, [row.ids[:-1] for row in rows], keep)


def _own(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    settings: DistillSettings,
    generator: torch.Generator,
) -> list[tuple[list[int], int]]:
    """The model's own answers, each with its prompt and where it begins."""
    stop_ids = stop_ids_of(model, tokenizer)
    most = settings.answer_tokens
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    found: list[tuple[list[int], int]] = [([], 0)] * len(prompts)
    with inference(model):
        for batch in sorted_batches(prompts, settings.batch_size):
            asked = [prompts[at] for at in batch]
            if settings.answers == "sampled":
                said = _sampled(model, asked, stop_ids, most, generator)
            else:
                said = greedy_continuation(
                    model, asked, stop_ids=stop_ids, max_new_tokens=most
                )
            for at, prompt, answer in zip(batch, asked, said, strict=True):
                tail = end if len(answer) < most else []
                found[at] = (prompt + answer + tail, len(prompt))
    return found


def _sampled(
    model: Any,
    sequences: Sequence[list[int]],
    stop_ids: frozenset[int],
    most: int,
    generator: torch.Generator,
) -> list[list[int]]:
    """Continuations drawn at temperature 1, without the tokens that end them."""
    answers: list[list[int]] = [[] for _ in sequences]
    state = prefill(model, sequences)
    logits_NV = state.logits_BV
    over = [False] * len(sequences)
    for _ in range(most):
        # Drawn on the CPU: the same seed then draws the same answers on any device.
        p_NV = logits_NV.float().softmax(dim=-1).cpu()
        drawn_N1 = torch.multinomial(p_NV, 1, generator=generator)
        for at, (token,) in enumerate(drawn_N1.tolist()):
            over[at] = over[at] or token in stop_ids
            if not over[at]:
                answers[at].append(token)
        if all(over):
            break
        logits_NV = extend(model, state, drawn_N1.to(logits_NV.device))[:, -1]
    return answers
