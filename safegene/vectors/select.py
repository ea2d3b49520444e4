"""Scores layers by activation contrast and keeps the ones worth keeping.

What is measured: a block adds an update `u` to the residual stream at the last token of
a prompt, where the answer begins. With the vector on that one block, and the same
stream coming in, it adds `u'`. The *share* is the norm of `u' - u` relative to the norm
of `u`; the *contrast* of a layer is its mean share over harmful prompts minus its mean
share over harmless ones. All touched modules of the block take part, those that write
to the stream and those that act through them.

First evidence warns against leaving layers out, so the default keeps all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from safegene.errors import InvalidDataError, UsageError
from safegene.vectors.attach import Attachment, attach
from safegene.vectors.chat import encode_prompt
from safegene.vectors.targets import plain_path
from safegene.vectors.vector import SafetyVector

MIN_PROMPTS = 8
"""Prompts of each kind below which a mean says too little."""

_TINY = 1e-6
"""Least norm that a share is taken of."""


def layer_contrast(
    model: nn.Module,
    tokenizer: Any,
    vector: SafetyVector,
    *,
    harmful: Sequence[str],
    harmless: Sequence[str],
    batch_size: int = 8,
) -> dict[int, float]:
    """Activation contrast of every touched layer; costs two forward passes.

    Args:
        model: usually the degraded model or the target, without the vector.
        tokenizer: the model's.
        vector: whose layers are scored.
        harmful: prompts a safe model declines.
        harmless: prompts it answers; look-alikes of the harmful ones are best.
        batch_size: prompts run together.

    Returns:
        Contrast by layer; larger means more specific to harmful prompts.

    Raises:
        InvalidDataError: fewer than eight prompts of a kind.
        CompatibilityError: the model has another structure.
    """
    for name, prompts in (("harmful", harmful), ("harmless", harmless)):
        if len(prompts) < MIN_PROMPTS:
            message = (
                f"contrast needs at least {MIN_PROMPTS} {name} prompts,"
                f" got {len(prompts)}"
            )
            raise InvalidDataError(message)
    was_training = model.training
    model.eval()
    try:
        with attach(model, vector) as attachment, torch.no_grad():
            probe = _Probe(model, attachment)
            first, second = (
                probe.mean_shares(
                    [encode_prompt(tokenizer, prompt) for prompt in prompts], batch_size
                )
                for prompts in (harmful, harmless)
            )
    finally:
        model.train(was_training)
    return {layer: first[layer] - second[layer] for layer in vector.layers}


def select_layers(
    vector: SafetyVector, scores: Mapping[int, float], *, count: int | None = None
) -> SafetyVector:
    """Record scores and keep the `count` layers of highest score; None keeps all.

    Raises:
        UsageError: `count` is not between 1 and the number of touched layers, or a
            touched layer has no score.
    """
    missing = sorted(set(vector.layers) - set(scores))
    if missing:
        message = f"layer {missing[0]} has no score; score every touched layer first"
        raise UsageError(message)
    if count is None:
        return vector.with_selection(scores, vector.selected_layers)
    if not 1 <= count <= len(vector.layers):
        message = f"expected 1 to {len(vector.layers)} layers to keep, got {count}"
        raise UsageError(message)
    ranked = sorted(vector.layers, key=lambda layer: (-scores[layer], layer))
    return vector.with_selection(scores, tuple(sorted(ranked[:count])))


class _Probe:
    """Runs each touched block a second time, with the vector on it alone."""

    def __init__(self, model: nn.Module, attachment: Attachment) -> None:
        self._model = model
        self._attachment = attachment
        self._blocks = _find_blocks(model, attachment.vector)
        self._sums: dict[int, float] = {}
        self._last: list[int] = []

    def mean_shares(
        self, rows: Sequence[Sequence[int]], batch_size: int
    ) -> dict[int, float]:
        """Mean share of every layer over rows of token ids."""
        self._sums = dict.fromkeys(self._blocks, 0.0)
        self._attachment.enabled = False
        handles = [
            block.register_forward_hook(self._hook(layer), with_kwargs=True)
            for layer, block in self._blocks.items()
        ]
        by_length = sorted(rows, key=len)
        try:
            for start in range(0, len(rows), batch_size):
                self._run(by_length[start : start + batch_size])
        finally:
            for handle in handles:
                handle.remove()
        return {layer: total / len(rows) for layer, total in self._sums.items()}

    def _run(self, rows: Sequence[Sequence[int]]) -> None:
        """One batch, padded on the right: no token sees what comes after it."""
        self._last = [len(row) - 1 for row in rows]
        shape = (len(rows), max(self._last) + 1)
        device = next(self._model.parameters()).device
        ids_NT = torch.zeros(shape, dtype=torch.long)
        mask_NT = torch.zeros(shape, dtype=torch.long)
        for at, row in enumerate(rows):
            ids_NT[at, : len(row)] = torch.tensor(row)
            mask_NT[at, : len(row)] = 1
        self._model(
            input_ids=ids_NT.to(device),
            attention_mask=mask_NT.to(device),
            use_cache=False,
        )

    def _hook(self, layer: int) -> Any:
        def measure(
            block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> None:
            stream = args[0] if args else kwargs["hidden_states"]
            self._attachment.enabled = True
            try:
                changed = block.forward(*args, **kwargs)
            finally:
                self._attachment.enabled = False
            before, plain, moved = map(self._at_last, (stream, output, changed))
            own_N = (plain - before).norm(dim=-1).clamp_min(_TINY)
            share_N = (moved - plain).norm(dim=-1) / own_N
            self._sums[layer] += float(share_N.sum())

        return measure

    def _at_last(self, output: Any) -> Tensor:
        """The residual stream at each row's last token, in float32."""
        stream: Tensor = output[0] if isinstance(output, tuple) else output
        return stream[range(len(self._last)), self._last].float()


def _find_blocks(model: nn.Module, vector: SafetyVector) -> dict[int, nn.Module]:
    """The transformer block of every touched layer."""
    by_path = {plain_path(name): module for name, module in model.named_modules()}
    blocks: dict[int, nn.Module] = {}
    for path in vector.factors:
        layer = vector.layer_of(path)
        prefix, _, _ = path.partition(f".{layer}.")
        if layer in vector.layers:
            blocks[layer] = by_path[f"{prefix}.{layer}"]
    return blocks
