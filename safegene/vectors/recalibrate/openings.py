"""The margin of a prompt: log-odds that the answer opens as a refusal.

Alignment is concentrated in the first tokens of an answer, so the first two or three
decide the outcome, and one forward pass of the prompt shows them all. What counts as a
refusal is a small set of beginnings, taken from a fixed list of openers, from the
refusals among the data's own safe answers, and less what the data's harmless answers
begin with. They are told apart along a *spine*, the commonest beginning of a refusal
("I", " can"), which is appended to the prompt; at each place along it some next tokens
(the *leaves*: "Sorry"; "'m", " cannot"; "'t", "not") complete a refusal:

    P(refusal) = Σ over places k of  P(spine up to k) · P(a leaf | spine up to k)

All other beginnings make up the rest, so no list of ways to comply is needed and a
target that answers with labels or gibberish simply does not refuse. The margin is
`log P(refusal) - log(1 - P(refusal))`. Why not score whole openers: sixteen short
continuations cost several times the prompt, and most of their tokens decide nothing.

Shapes: N prompts, K places (spine + 1), V vocabulary.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safegene.errors import UsageError
from safegene.evaluation.openers import COMPLIANCE_OPENERS, REFUSAL_OPENERS
from safegene.evaluation.refusal import is_refusal
from safegene.vectors.chat import encode_pair

SPINE_LENGTH = 2
"""Tokens of the spine: "I can" tells "I can't" from "I can help"."""

CARRIER_PROMPT = "Hello"
"""Any prompt: an opener is tokenized as it stands behind the chat template."""


@dataclass(frozen=True)
class Openings:
    """Beginnings of answers that count as refusals."""

    spine: tuple[int, ...]
    leaves: tuple[tuple[int, ...], ...]
    """For each place along the spine, the tokens that complete a refusal there."""

    @property
    def places(self) -> int:
        """Number of positions whose logits are needed: the last ones of the row."""
        return len(self.spine) + 1

    def margin(self, logits_NKV: Tensor) -> Tensor:
        """Log-odds of a refusal, in nats, differentiable, in float32.

        Args:
            logits_NKV: of the last K positions of prompts followed by the spine.
        """
        log_p_NKV = torch.log_softmax(logits_NKV.float(), dim=-1)
        refuse, comply = [], []
        reach_N = log_p_NKV.new_zeros(len(log_p_NKV))
        for place, leaves in enumerate(self.leaves):
            here_NV = log_p_NKV[:, place]
            if leaves:
                refuse.append(reach_N + here_NV[:, list(leaves)].logsumexp(dim=-1))
            taken = [*leaves, *self.spine[place : place + 1]]
            other_NV = here_NV.index_fill(
                1, torch.tensor(taken, device=here_NV.device), -torch.inf
            )
            comply.append(reach_N + other_NV.logsumexp(dim=-1))
            if place < len(self.spine):
                reach_N = reach_N + here_NV[:, self.spine[place]]
        refuse_N = torch.stack(refuse).logsumexp(dim=0)
        comply_N = torch.stack(comply).logsumexp(dim=0)
        return refuse_N - comply_N


def find_openings(
    tokenizer: Any,
    *,
    safe_answers: Iterable[str] = (),
    harmless_answers: Iterable[str] = (),
    spine_length: int = SPINE_LENGTH,
) -> Openings:
    """Choose spine and leaves for a tokenizer and the data at hand.

    Args:
        tokenizer: the target's.
        safe_answers: wanted answers to harmful prompts; those that are no refusals
            are left alone.
        harmless_answers: wanted answers to other prompts; a beginning they use more
            often than refusals do is no leaf.
        spine_length: the most tokens of the spine.

    Raises:
        UsageError: the tokenizer cannot tell refusals from compliance by their first
            tokens.
    """
    refusals = [*REFUSAL_OPENERS, *(text for text in safe_answers if is_refusal(text))]
    others = [
        *COMPLIANCE_OPENERS,
        *(text for text in harmless_answers if text.strip() and not is_refusal(text)),
    ]
    size = spine_length + 1
    refusing = [_first_tokens(tokenizer, text, size) for text in refusals]
    complying = [_first_tokens(tokenizer, text, size) for text in others]
    spine = _spine(refusing, spine_length)
    leaves = tuple(
        _leaves(refusing, complying, spine, place) for place in range(len(spine) + 1)
    )
    if not any(leaves):
        detail = (
            "recalibration needs a tokenizer whose first tokens tell refusals from"
            f" compliance; found none within {size} tokens"
        )
        raise UsageError(detail)
    return Openings(spine, leaves)


def _first_tokens(tokenizer: Any, text: str, count: int) -> tuple[int, ...]:
    ids, start = encode_pair(tokenizer, CARRIER_PROMPT, text)
    tokens = ids[start:]
    if tokens and tokens[-1] == tokenizer.eos_token_id:
        tokens = tokens[:-1]
    return tuple(tokens[:count])


def _spine(refusing: Sequence[Sequence[int]], length: int) -> tuple[int, ...]:
    """The commonest beginning, as long as refusals still part ways behind it."""
    spine: tuple[int, ...] = ()
    while len(spine) < length:
        through = [path for path in refusing if _passes(path, spine)]
        counts = Counter(path[len(spine)] for path in through if len(path) > len(spine))
        if not counts:
            break
        longer = (*spine, counts.most_common(1)[0][0])
        if not any(_passes(path, longer) and path != longer for path in refusing):
            break
        spine = longer
    return spine


def _leaves(
    refusing: Sequence[Sequence[int]],
    complying: Sequence[Sequence[int]],
    spine: tuple[int, ...],
    place: int,
) -> tuple[int, ...]:
    """Tokens behind the first `place` spine tokens that refusals take more often."""
    at = spine[:place]
    refused, complied = (
        Counter(path[place] for path in paths if _passes(path, at) and path != at)
        for paths in (refusing, complying)
    )
    on_spine = set(spine[place : place + 1])
    return tuple(
        sorted(
            token
            for token, count in refused.items()
            if token not in on_spine and count > complied[token]
        )
    )


def _passes(path: Sequence[int], beginning: tuple[int, ...]) -> bool:
    return tuple(path[: len(beginning)]) == beginning
