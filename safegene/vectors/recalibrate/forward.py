"""Runs token rows through the target with coefficients set, and counts the work.

Rows are left-padded in batches of similar length, and only the logits of their last
positions are computed: for a small model the output head costs as much as many layers.

Shapes: S coefficients, N rows of a batch, T tokens, K kept positions, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from safegene.vectors.attach import Attachment


@dataclass(frozen=True)
class TokenRow:
    """Tokens to run, and how many of the last positions are looked at."""

    ids: tuple[int, ...]
    keep: int


@dataclass(frozen=True)
class LiveBatch:
    """One batch whose logits depend on coefficients of its own, one set a row."""

    indices: list[int]
    logits_NKV: Tensor
    live_SN: Tensor
    """What to differentiate by; column n moves row n alone."""


class Runner:
    """The target with the vector attached.

    Args:
        model: the target.
        attachment: the vector on it.
        layers: layer of each coefficient.
        batch_size: rows run together.
    """

    def __init__(
        self,
        model: Any,
        attachment: Attachment,
        layers: Sequence[int],
        *,
        batch_size: int,
    ) -> None:
        self._model = model
        self._attachment = attachment
        self._layers = tuple(layers)
        self._batch_size = batch_size
        self.work = 0
        """Sequences run so far: a forward counts 1, a backward 2."""

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return len(self._layers)

    def run(
        self, rows: Sequence[TokenRow], point_S: Tensor
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield row indices and logits [N, K, V] of each batch, without gradients.

        Coefficients are set as `apply` would set them, so what is measured is what a
        user of the calibration gets. K is the largest `keep` of the batch.
        """
        values = point_S.tolist()
        self._attachment.set_coefficients(dict(zip(self._layers, values, strict=True)))
        for indices in self._batches(rows):
            with torch.no_grad():
                logits_NKV = self._logits([rows[index] for index in indices])
            yield indices, logits_NKV

    def run_live(
        self, rows: Sequence[TokenRow], point_S: Tensor
    ) -> Iterator[LiveBatch]:
        """Yield batches with logits that can be differentiated by each row's own S."""
        device = next(self._model.parameters()).device
        for indices in self._batches(rows):
            live_SN = point_S.float().to(device)[:, None].repeat(1, len(indices))
            live_SN.requires_grad_()
            with torch.enable_grad(), self._attachment.live_coefficients(live_SN):
                logits_NKV = self._logits([rows[index] for index in indices])
            yield LiveBatch(indices, logits_NKV, live_SN)

    def per_row_gradients(
        self, batch: LiveBatch, value_N: Tensor, *, again: bool = False
    ) -> Tensor:
        """Gradient of each row's value by its own coefficients, [S, N], float64, CPU.

        One backward pass: row n's value depends on column n only.

        Args:
            batch: from `run_live`.
            value_N: one value a row, computed from the batch's logits.
            again: keep the graph for another call.
        """
        self.work += 2 * len(batch.indices)
        (gradient_SN,) = torch.autograd.grad(
            value_N.sum(), batch.live_SN, retain_graph=again
        )
        return gradient_SN.double().cpu()

    def _batches(self, rows: Sequence[TokenRow]) -> Iterator[list[int]]:
        order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids), reverse=True)
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size]

    def _logits(self, rows: Sequence[TokenRow]) -> Tensor:
        self.work += len(rows)
        width = max(len(row.ids) for row in rows)
        keep = max(row.keep for row in rows)
        ids_NT = torch.zeros((len(rows), width), dtype=torch.long)
        mask_NT = torch.zeros((len(rows), width), dtype=torch.long)
        for at, row in enumerate(rows):
            ids_NT[at, width - len(row.ids) :] = torch.tensor(row.ids)
            mask_NT[at, width - len(row.ids) :] = 1
        device = next(self._model.parameters()).device
        output = self._model(
            input_ids=ids_NT.to(device),
            attention_mask=mask_NT.to(device),
            position_ids=(mask_NT.cumsum(1) - 1).clamp(min=0).to(device),
            use_cache=False,
            logits_to_keep=keep,
        )
        logits_NKV: Tensor = output.logits[:, -keep:]
        return logits_NKV


@contextmanager
def steady(model: Any) -> Iterator[None]:
    """Evaluation mode and frozen weights; every module's own state comes back after.

    Frozen weights make a backward pass cost what the coefficients need and no more.
    """
    modes = [(module, module.training) for module in model.modules()]
    grads = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in grads:
            parameter.requires_grad_(requires_grad=False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, needed in grads:
            parameter.requires_grad_(needed)
