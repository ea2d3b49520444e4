"""Scores layers by activation contrast and keeps the ones worth keeping.

The contrast of a layer is how much more its update moves the residual stream on harmful
than on harmless prompts: the mean norm of the update at the last prompt token, relative
to the norm of what the module itself writes, on harmful minus on harmless prompts.
First evidence warns against leaving layers out, so the default keeps all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from safegene.errors import InvalidDataError, UsageError
from safegene.vectors.chat import encode_prompt
from safegene.vectors.targets import find_modules
from safegene.vectors.vector import SafetyVector

MIN_PROMPTS = 8


def layer_contrast(
    model: nn.Module,
    tokenizer: Any,
    vector: SafetyVector,
    *,
    harmful: Sequence[str],
    harmless: Sequence[str],
) -> dict[int, float]:
    """Activation contrast of every touched layer.

    Only modules that write to the residual stream (output as wide as the stream, such
    as `o_proj` and `down_proj`) count; the others act through them.

    Args:
        model: usually the degraded model or the target, without the vector.
        tokenizer: the model's.
        vector: whose layers are scored.
        harmful: prompts a safe model declines.
        harmless: prompts it answers.

    Returns:
        Contrast by layer; larger means more specific to harmful prompts.

    Raises:
        InvalidDataError: fewer than eight prompts of a kind.
        UsageError: the vector touches no module that writes to the residual stream.
    """
    for name, prompts in (("harmful", harmful), ("harmless", harmless)):
        if len(prompts) < MIN_PROMPTS:
            message = (
                f"contrast needs at least {MIN_PROMPTS} {name} prompts,"
                f" got {len(prompts)}"
            )
            raise InvalidDataError(message)
    probe = _Probe(model, vector)
    means = [
        probe.mean_shares([encode_prompt(tokenizer, prompt) for prompt in prompts])
        for prompts in (harmful, harmless)
    ]
    return {layer: means[0][layer] - means[1][layer] for layer in probe.layers}


def select_layers(
    vector: SafetyVector, scores: Mapping[int, float], *, count: int | None = None
) -> SafetyVector:
    """Record scores and keep the `count` layers of highest score; None keeps all.

    Raises:
        UsageError: `count` is not between 1 and the number of touched layers.
    """
    if count is None:
        return vector.with_selection(scores, None)
    if not 1 <= count <= len(vector.layers):
        message = f"expected 1 to {len(vector.layers)} layers to keep, got {count}"
        raise UsageError(message)
    ranked = sorted(vector.layers, key=lambda layer: (-scores.get(layer, 0.0), layer))
    return vector.with_selection(scores, tuple(sorted(ranked[:count])))


class _Probe:
    """Measures the updates' norms during plain forward passes."""

    def __init__(self, model: nn.Module, vector: SafetyVector) -> None:
        self._model = model
        self._vector = vector
        width = vector.architecture.hidden_size
        modules = find_modules(model, vector)
        self._writers = {
            path: module
            for path, module in modules.items()
            if vector.factors[path].b_OR.shape[0] == width
        }
        if not self._writers:
            message = "the vector touches no module that writes to the residual stream"
            raise UsageError(message)
        self.layers = sorted({vector.layer_of(path) for path in self._writers})
        self._sums: dict[int, float] = {}

    def mean_shares(self, prompts: Sequence[list[int]]) -> dict[int, float]:
        """Mean relative update of each layer at the last token of each prompt."""
        self._sums = dict.fromkeys(self.layers, 0.0)
        handles = [
            module.register_forward_hook(self._hook(path))
            for path, module in self._writers.items()
        ]
        device = next(self._model.parameters()).device
        try:
            with torch.inference_mode():
                for ids in prompts:
                    self._model(
                        input_ids=torch.tensor([ids], device=device), use_cache=False
                    )
        finally:
            for handle in handles:
                handle.remove()
        return {layer: total / len(prompts) for layer, total in self._sums.items()}

    def _hook(self, path: str) -> Any:
        factors = self._vector.factors[path]
        layer = self._vector.layer_of(path)

        def measure(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            last = inputs[0][0, -1].float().cpu()
            update = factors.b_OR @ (factors.a_RI @ last)
            own = output[0, -1].float().norm().clamp_min(1e-6)
            self._sums[layer] += float(update.norm() / own.cpu())

        return measure
