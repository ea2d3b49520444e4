"""How far the target's own behavior moves: KL in nats per token, and its Fisher matrix.

Behavior is what the target says after task prompts and ordinary prompts, teacher
forced on the first tokens of responses. The KL is KL(target ‖ target + vector) over the
whole vocabulary, averaged over the tokens of each set and then over the sets, so that
one-word task answers weigh as much as long ordinary ones.

At coefficients 0 the KL is 0 and so is its gradient; its curvature is the Fisher matrix
F of the target's own outputs, so KL ≈ ½ aᵀFa. F is estimated from gradients of labels
sampled from the target itself; gradients at different tokens are uncorrelated, so the
gradient of a row's sum serves for all its tokens.

Shapes: S coefficients, N rows of a batch, K response tokens, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safegene.errors import NonFiniteTensorError
from safegene.vectors.recalibrate.forward import LiveBatch, Runner, TokenRow

STORED_DTYPE = torch.float16
"""For reference log-probabilities: 11 bits where bfloat16 has 8. They are normalized
again when read, so rounding moves the KL in second order only."""
LOWEST = -6e4
"""Near float16's lowest; a probability of e to this is zero in any arithmetic."""


@dataclass(frozen=True)
class BehaviorRow:
    """A prompt with the response the target is forced along."""

    ids: tuple[int, ...]
    response_start: int
    weight: float
    """Share of each of its response tokens in the average."""

    @property
    def response(self) -> tuple[int, ...]:
        """The response's tokens."""
        return self.ids[self.response_start :]

    @property
    def row(self) -> TokenRow:
        """What is run: the last token predicts nothing that is looked at."""
        return TokenRow(self.ids[:-1], len(self.response))


class Behavior:
    """The target's behavior without the vector, to measure moves against.

    Args:
        runner: the target with the vector attached.
        rows: prompts with responses.
    """

    def __init__(self, runner: Runner, rows: Sequence[BehaviorRow]) -> None:
        self._runner = runner
        self._rows = tuple(rows)
        self._token_rows = tuple(row.row for row in rows)
        self._reference: dict[int, Tensor] = {}

    def record(
        self,
        *,
        seed: int,
        draws: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Remember the target's log-probabilities and estimate F at coefficients 0.

        Args:
            seed: of the sampled labels.
            draws: labels sampled for each token; each costs one backward pass. With 0
                nothing is differentiated, and F is 0.
            progress: called with rows done and all rows.

        Returns:
            F [S, S] in nats per token, float64, positive semidefinite.

        Raises:
            NonFiniteTensorError: the target's own logits hold NaN.
        """
        generator = torch.Generator().manual_seed(seed)
        size = self._runner.size
        fisher_SS = torch.zeros((size, size), dtype=torch.float64)
        zero_S = torch.zeros(size, dtype=torch.float64)
        labels: dict[int, Tensor] = {}
        # Run as `kl` runs: the same padding and cache give the same rounding.
        for indices, logits_NKV in self._runner.run(self._token_rows, zero_S):
            log_p_NKV = torch.log_softmax(logits_NKV.float(), dim=-1)
            self._remember(indices, log_p_NKV)
            if draws:
                labels |= self._sample(indices, log_p_NKV, generator, draws)
        done = 0
        if draws == 0:
            if progress is not None:
                progress(len(self._rows), len(self._rows))
            return fisher_SS
        for batch in self._runner.run_live(self._token_rows, zero_S):
            fisher_SS += self._batch_fisher(batch, labels, draws)
            done += len(batch.indices)
            if progress is not None:
                progress(done, len(self._rows))
        return fisher_SS

    def kl(self, point_S: Tensor) -> float:
        """The real KL at these coefficients, in nats per token.

        Not a number where the model breaks down; no budget allows that.
        """
        return sum(
            float(self._row_kls(indices, logits_NKV).sum())
            for indices, logits_NKV in self._runner.run(self._token_rows, point_S)
        )

    def gradient(self, point_S: Tensor) -> Tensor:
        """Gradient of the real KL by the coefficients, [S], float64."""
        return self.kl_and_gradient(point_S, range(len(self._rows)))[1]

    def kl_and_gradient(
        self, point_S: Tensor, picks: Sequence[int]
    ) -> tuple[float, Tensor]:
        """The KL over some rows, and its gradient by the coefficients, [S], float64.

        Args:
            point_S: the coefficients.
            picks: places of the rows; they stand for all, so their weights are made
                to sum to 1 again.
        """
        kl = 0.0
        gradient_S = torch.zeros(self._runner.size, dtype=torch.float64)
        token_rows = [self._token_rows[pick] for pick in picks]
        for batch in self._runner.run_live(token_rows, point_S):
            indices = [picks[index] for index in batch.indices]
            kl_N = self._row_kls(indices, batch.logits_NKV)
            kl += float(kl_N.detach().sum())
            gradient_S += self._runner.per_row_gradients(batch, kl_N).sum(dim=1)
        if len(picks) == len(self._rows):
            return kl, gradient_S
        rows = [self._rows[pick] for pick in picks]
        whole = sum(row.weight * len(row.response) for row in rows)
        return kl / whole, gradient_S / whole

    def _row_kls(self, indices: Sequence[int], logits_NKV: Tensor) -> Tensor:
        """Each row's part of the KL, [N], differentiable."""
        parts = []
        for at, index in enumerate(indices):
            reference_KV = self._reference[index].to(logits_NKV.device)
            own_KV = logits_NKV[at, -len(reference_KV) :].float()
            parts.append(self._rows[index].weight * _kl_sum(reference_KV, own_KV))
        return torch.stack(parts)

    def _remember(self, indices: Sequence[int], log_p_NKV: Tensor) -> None:
        for at, index in enumerate(indices):
            kept_KV = log_p_NKV[at, -len(self._rows[index].response) :]
            if torch.isnan(kept_KV).any():
                detail = (
                    "the target's logits hold NaN on the calibration prompts, before"
                    " any vector is applied; expected finite logits: check its weights"
                    " and dtype"
                )
                raise NonFiniteTensorError(detail, module="logits")
            self._reference[index] = kept_KV.clamp(min=LOWEST).to(STORED_DTYPE)

    def _sample(
        self,
        indices: Sequence[int],
        log_p_NKV: Tensor,
        generator: torch.Generator,
        draws: int,
    ) -> dict[int, Tensor]:
        """Labels the target would give, [K, draws] for each row of the batch."""
        # Sampled on the CPU: the same seed then draws the same labels on any device.
        flat_p = log_p_NKV.exp().flatten(0, 1).cpu()
        flat = torch.multinomial(flat_p, draws, replacement=True, generator=generator)
        labels = flat.view(*log_p_NKV.shape[:2], draws)
        return {
            index: labels[at, -len(self._rows[index].response) :]
            for at, index in enumerate(indices)
        }

    def _batch_fisher(
        self, batch: LiveBatch, labels: Mapping[int, Tensor], draws: int
    ) -> Tensor:
        """Sum over rows of weight · g gᵀ, averaged over draws."""
        log_p_NKV = torch.log_softmax(batch.logits_NKV.float(), dim=-1)
        weights = [self._rows[index].weight for index in batch.indices]
        weight_N = torch.tensor(weights, dtype=torch.float64)
        size = self._runner.size
        fisher_SS = torch.zeros((size, size), dtype=torch.float64)
        for draw in range(draws):
            score_N = torch.stack(
                [
                    _chosen_sum(log_p_NKV[at], labels[index][:, draw])
                    for at, index in enumerate(batch.indices)
                ]
            )
            gradient_SN = self._runner.per_row_gradients(
                batch, score_N, again=draw + 1 < draws
            )
            fisher_SS += (gradient_SN * weight_N) @ gradient_SN.T
        return fisher_SS / draws


def _chosen_sum(log_p_KV: Tensor, label_K: Tensor) -> Tensor:
    """Log-probability of the labels, which are of the last positions."""
    tail_KV = log_p_KV[-len(label_K) :]
    return tail_KV.gather(-1, label_K.to(tail_KV.device)[:, None]).sum()


def _kl_sum(reference_KV: Tensor, own_logits_KV: Tensor) -> Tensor:
    """Σ over tokens of KL(reference ‖ own), in nats."""
    log_p_KV = torch.log_softmax(reference_KV.float(), dim=-1)
    log_q_KV = torch.log_softmax(own_logits_KV, dim=-1).clamp(min=LOWEST)
    return (log_p_KV.exp() * (log_p_KV - log_q_KV)).sum()
