"""Runs token rows through the target with coefficients set, and counts the work.

Rows are left-padded in batches of similar length, and only the logits of their last
positions are computed: for a small model the output head costs as much as many layers.
What all rows begin with, the chat template's system prompt, is half of a short prompt;
without gradients it runs once, and every row continues from its cache.

Shapes: S coefficients, N rows of a batch, T tokens, K kept positions, V vocabulary.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache

from safegene.artifact.calibration import Coefficients
from safegene.evaluation.batches import text_config
from safegene.vectors.attach import Attachment

LEAST_PREFIX = 4
"""A shorter common beginning is not worth a run of its own."""
LIVE_TOKENS = 256
"""Most tokens, padding included, that are differentiated together: until the backward
pass every layer keeps what it computed for them. Work is the same however rows are
grouped; this many keep a processor busy."""


@dataclass(frozen=True)
class TokenRow:
    """Tokens to run, and how many of the last positions are looked at."""

    ids: tuple[int, ...]
    keep: int


@dataclass(frozen=True)
class Prefix:
    """What every row begins with, already run."""

    ids: tuple[int, ...]
    cache: DynamicCache
    """Of one row; copied for each batch."""


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
        units: the layer, or the module, of each coefficient, in the vector's order.
        batch_size: rows run together.
    """

    def __init__(
        self,
        model: Any,
        attachment: Attachment,
        units: Sequence[int] | Sequence[str],
        *,
        batch_size: int,
    ) -> None:
        self._model = model
        self._attachment = attachment
        self._units = tuple(units)
        self._batch_size = batch_size
        self.work = 0
        """Sequences run so far: a forward counts 1, a backward 2. The shared beginning
        is not counted apart, nor taken off."""

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return len(self._units)

    def run(
        self, rows: Sequence[TokenRow], point_S: Tensor
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield row indices and logits [N, K, V] of each batch, without gradients.

        Coefficients are set as `apply` would set them, so what is measured is what a
        user of the calibration gets. K is the largest `keep` of the batch.
        """
        values = point_S.tolist()
        by_unit = cast("Coefficients", dict(zip(self._units, values, strict=True)))
        # The search keeps to its box, which has negative ones only where asked for.
        self._attachment.set_coefficients(by_unit, allow_negative=True)
        with torch.no_grad():
            prefix = self._prefix(rows)
        for indices in self._batches(rows):
            with torch.no_grad():
                logits_NKV = self._logits([rows[index] for index in indices], prefix)
            yield indices, logits_NKV

    def run_live(
        self, rows: Sequence[TokenRow], point_S: Tensor
    ) -> Iterator[LiveBatch]:
        """Yield batches with logits that can be differentiated by each row's own S."""
        device = next(self._model.parameters()).device
        for indices in self._live_batches(rows):
            live_SN = point_S.float().to(device)[:, None].repeat(1, len(indices))
            live_SN.requires_grad_()
            live = self._attachment.live_coefficients(live_SN, allow_negative=True)
            with torch.enable_grad(), live:
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

    def _live_batches(self, rows: Sequence[TokenRow]) -> Iterator[list[int]]:
        """The same rows in the same order, fewer together where they are long."""
        for indices in self._batches(rows):
            rest = indices
            while rest:
                # The longest comes first.
                together = max(1, LIVE_TOKENS // len(rows[rest[0]].ids))
                yield rest[:together]
                rest = rest[together:]

    def _prefix(self, rows: Sequence[TokenRow]) -> Prefix | None:
        """Run what all rows begin with, up to the first token that is looked at."""
        ids = common_beginning(rows)
        if len(ids) < LEAST_PREFIX or self._is_beyond_window(rows):
            return None
        device = next(self._model.parameters()).device
        cache = DynamicCache(config=text_config(self._model))
        self._model(
            input_ids=torch.tensor([ids], device=device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return Prefix(ids, cache)

    def _is_beyond_window(self, rows: Sequence[TokenRow]) -> bool:
        """Whether a sliding window would cut a row's beginning off.

        The window counts places, and shorter rows have padding between the beginning
        and the rest: it would cut more from them than when they run on their own.
        """
        window = getattr(text_config(self._model), "sliding_window", None)
        return window is not None and max(len(row.ids) for row in rows) > window

    def _logits(self, rows: Sequence[TokenRow], prefix: Prefix | None = None) -> Tensor:
        self.work += len(rows)
        skip = len(prefix.ids) if prefix else 0
        width = max(len(row.ids) for row in rows) - skip
        keep = max(row.keep for row in rows)
        ids_NT = torch.zeros((len(rows), width), dtype=torch.long)
        mask_NT = torch.zeros((len(rows), skip + width), dtype=torch.long)
        mask_NT[:, :skip] = 1
        for at, row in enumerate(rows):
            rest = row.ids[skip:]
            ids_NT[at, width - len(rest) :] = torch.tensor(rest)
            mask_NT[at, skip + width - len(rest) :] = 1
        cache = None
        if prefix:
            cache = copy.deepcopy(prefix.cache)
            cache.batch_repeat_interleave(len(rows))
        device = next(self._model.parameters()).device
        positions_NT = (mask_NT.cumsum(1) - 1).clamp(min=0)[:, skip:]
        output = self._model(
            input_ids=ids_NT.to(device),
            attention_mask=mask_NT.to(device),
            position_ids=positions_NT.to(device),
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=keep,
        )
        logits_NKV: Tensor = output.logits[:, -keep:]
        return logits_NKV


def common_beginning(rows: Sequence[TokenRow]) -> tuple[int, ...]:
    """The longest beginning of all rows that leaves every kept position out."""
    if not rows:
        return ()
    most = min(len(row.ids) - row.keep for row in rows)
    first = rows[0].ids[: max(0, most)]
    for length, token in enumerate(first):
        if any(row.ids[length] != token for row in rows):
            return first[:length]
    return first


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
