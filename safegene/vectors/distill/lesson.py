"""What a model says after each answer token, remembered, and how far another is off.

Only the likeliest entries of each distribution are kept, with the probability of all
others together as one more event. The KL between two distributions seen that way is a
lower bound of the KL over the whole vocabulary and equals it where all are kept.

Shapes: N rows of a batch, K answer tokens, V vocabulary, E kept entries, M answer
tokens of all rows of a batch together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safegene.errors import NonFiniteTensorError
from safegene.evaluation.batches import sorted_batches
from safegene.vectors.distill.rows import AnswerRow, answer_logits
from safegene.vectors.recalibrate.kl import LOWEST, STORED_DTYPE

Count = Callable[[int, int], None]


@dataclass(frozen=True)
class Remembered:
    """One row's distributions, on the CPU."""

    log_p_KE: Tensor
    """Of the kept entries, float16."""
    entries_KE: Tensor | None
    """Which ones, int32; None where all are kept, in order."""
    log_rest_K: Tensor
    """Of all others together, float32."""


class Lesson:
    """Rows, and the distributions to match on them.

    Args:
        model: to be matched; nothing is attached to it.
        rows: prompts with answers.
        top_k: entries kept of each distribution; None keeps all.
        batch_size: rows run together.
        name: what to call the model in errors.
        progress: called with rows done and all rows.

    Raises:
        NonFiniteTensorError: the model's logits hold NaN or infinity.
    """

    def __init__(
        self,
        model: Any,
        rows: Sequence[AnswerRow],
        *,
        top_k: int | None,
        batch_size: int,
        name: str,
        progress: Count | None = None,
    ) -> None:
        self.rows = tuple(rows)
        self._remembered: dict[int, Remembered] = {}
        for indices in self.batches(range(len(rows)), batch_size):
            chosen = [self.rows[at] for at in indices]
            with torch.no_grad():
                logits_NKV = answer_logits(model, chosen).float()
            for at, row, logits_KV in zip(indices, chosen, logits_NKV, strict=True):
                own_KV = logits_KV[-row.answer_length :]
                if not bool(torch.isfinite(own_KV).all()):
                    detail = (
                        f"{name}: its logits hold NaN or infinity on the given prompts;"
                        " check its weights and dtype"
                    )
                    raise NonFiniteTensorError(detail, module="logits")
                self._remembered[at] = _remember(own_KV, top_k)
            if progress is not None:
                progress(len(self._remembered), len(self.rows))

    def batches(self, indices: Sequence[int], batch_size: int) -> Iterator[list[int]]:
        """Indices in batches of similar length."""
        lengths = [self.rows[at].ids for at in indices]
        for batch in sorted_batches(lengths, batch_size):
            yield [indices[at] for at in batch]

    def token_kls(self, model: Any, indices: Sequence[int]) -> Tensor:
        """KL(remembered ‖ model) at every answer token of these rows, [M], in nats."""
        rows = [self.rows[at] for at in indices]
        logits_NKV = answer_logits(model, rows)
        own_MV = torch.cat(
            [
                logits_KV[-row.answer_length :]
                for logits_KV, row in zip(logits_NKV, rows, strict=True)
            ]
        ).float()
        known = [self._remembered[at] for at in indices]
        entries = [part.entries_KE for part in known]
        log_p_ME = torch.cat([part.log_p_KE for part in known]).to(own_MV).float()
        log_rest_M = torch.cat([part.log_rest_K for part in known]).to(own_MV)
        if entries[0] is None:
            # Rounding to float16 is normalized away: it counts in second order only.
            log_p_ME = torch.log_softmax(log_p_ME, dim=-1)
            log_q_ME = torch.log_softmax(own_MV, dim=-1).clamp(min=LOWEST)
            return (log_p_ME.exp() * (log_p_ME - log_q_ME)).sum(dim=-1)
        kept_ME = torch.cat([part for part in entries if part is not None])
        log_q_ME = _with_rest(own_MV, kept_ME.to(own_MV.device).long())
        log_p_ME = torch.cat([log_p_ME, log_rest_M[:, None]], dim=1).log_softmax(dim=-1)
        return (log_p_ME.exp() * (log_p_ME - log_q_ME)).sum(dim=-1)

    def mean_kl(self, model: Any, indices: Sequence[int], batch_size: int) -> float:
        """Mean of the KL over all answer tokens of these rows, without gradients."""
        total, count = 0.0, 0
        for batch in self.batches(indices, batch_size):
            with torch.no_grad():
                kl_M = self.token_kls(model, batch)
            total += float(kl_M.sum())
            count += len(kl_M)
        return total / count


def _remember(logits_KV: Tensor, top_k: int | None) -> Remembered:
    log_p_KV = torch.log_softmax(logits_KV, dim=-1)
    if top_k is None or top_k >= log_p_KV.shape[1]:
        stored = log_p_KV.clamp(min=LOWEST).to(STORED_DTYPE).cpu()
        return Remembered(stored, None, torch.full((len(stored),), LOWEST))
    values_KE, entries_KE = log_p_KV.topk(top_k, dim=-1)
    log_rest_K = _without(log_p_KV, entries_KE).logsumexp(dim=-1)
    return Remembered(
        values_KE.clamp(min=LOWEST).to(STORED_DTYPE).cpu(),
        entries_KE.to(torch.int32).cpu(),
        log_rest_K.clamp(min=LOWEST).cpu(),
    )


def _with_rest(logits_MV: Tensor, kept_ME: Tensor) -> Tensor:
    """Log-probabilities of the kept entries and, in the last column, of the rest."""
    norm_M1 = logits_MV.logsumexp(dim=-1, keepdim=True)
    rest_M1 = _without(logits_MV, kept_ME).logsumexp(dim=-1, keepdim=True)
    chosen_ME = logits_MV.gather(-1, kept_ME)
    return (torch.cat([chosen_ME, rest_M1], dim=1) - norm_M1).clamp(min=LOWEST)


def _without(logits_MV: Tensor, entries_ME: Tensor) -> Tensor:
    return logits_MV.scatter(-1, entries_ME, float("-inf"))
