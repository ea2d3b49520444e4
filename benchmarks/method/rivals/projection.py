"""Safe LoRA, SafeMERGE and scaling down: rivals that change what fine-tuning did.

Their papers speak of the product of a task adapter's factors; we take the change of the
merged weight, which is the same for LoRA and extends to full fine-tunes.
Both test how much of a module's change lies along the safety difference V, with the
matrix C = V Vᵀ / ‖V‖ as published (no true projector: it rescales as well).

Source:
    Hsu et al. 2024 (Safe LoRA, arXiv 2405.16833); Djuhera et al. 2025 (SafeMERGE, arXiv
    2503.17239); Wortsman et al. 2022 (WiSE-FT, arXiv 2109.01903).
"""

from torch import Tensor

from benchmarks.method.rivals.weights import Delta, Linear, Models, cosine, numbers

BYTES_PER_NUMBER = 2


def projector(safety: Tensor) -> Tensor:
    """C = V Vᵀ / ‖V‖ (Frobenius norm), square; zero where V is."""
    size = safety.norm()
    product = safety @ safety.T
    return product / size if float(size) > 0 else product


def alignment(models: Models) -> dict[str, float]:
    """Cosine of every linear layer's change and its projection, lowest first."""
    found = {}
    for name in models.linear:
        task = models.task(name)
        found[name] = cosine(projector(models.safety(name)) @ task, task)
    return dict(sorted(found.items(), key=lambda item: item[1]))


class SafeLora:
    """Replaces the change of the least aligned layers by its projection.

    The strength is the share of linear layers that are projected, lowest cosine first;
    any threshold on the cosine is one such share, and so is any number of layers.
    """

    highest = 1.0

    def __init__(self, models: Models) -> None:
        self._models = models
        self.cosines = alignment(models)
        self.bytes_shipped = BYTES_PER_NUMBER * numbers(models.aligned, models.linear)

    def share_below(self, threshold: float) -> float:
        """The strength that a threshold on the cosine amounts to."""
        below = sum(value <= threshold for value in self.cosines.values())
        return below / len(self.cosines)

    def delta(self, strength: float) -> Delta:
        """What is added to the target's weights."""
        count = round(strength * len(self.cosines))
        return {name: self._change(name) for name in list(self.cosines)[:count]}

    def _change(self, name: str) -> Tensor:
        task = self._models.task(name)
        return projector(self._models.safety(name)) @ task - task


class SafeMerge:
    """Mixes the change of unaligned layers with that of a safety fine-tune.

    Their change becomes (1 - strength) · task + strength · safe, in layers whose cosine
    is below the threshold.

    Args:
        models: target, aligned and degraded model.
        safe: change of the separately trained safety adapter, by parameter name.
        threshold: cosine from which a layer is left alone.
    """

    highest = 1.0

    def __init__(
        self, models: Models, safe: dict[str, Tensor], *, threshold: float
    ) -> None:
        self._models = models
        self._safe = safe
        found = alignment(models)
        self.chosen = tuple(name for name, value in found.items() if value < threshold)
        # The safety adapter's weights beside what the cosine is taken with.
        self.bytes_shipped = BYTES_PER_NUMBER * (
            numbers(models.aligned, models.linear) + numbers(safe, tuple(safe))
        )

    def delta(self, strength: float) -> Delta:
        """What is added to the target's weights."""
        return {
            name: strength * (self._safe[name] - self._models.task(name))
            for name in self.chosen
        }


def scaled_task(models: Models) -> Linear:
    """WiSE-FT: back towards the model before fine-tuning, all weights alike.

    Strength 1 is the aligned model again. Nothing is shipped: who fine-tuned has it.
    """
    names = tuple(models.target)
    return Linear(lambda name: -models.task(name), names, 0, highest=1.0)
