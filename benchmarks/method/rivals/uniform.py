"""RESTA: one coefficient for the whole safety vector; and with DARE; and noise.

Source:
    Bhardwaj, Anh and Poria 2024 (arXiv 2402.11746) for the coefficient; Yu et al. 2024
    (arXiv 2311.03099) for dropping and rescaling.
"""

import torch
from torch import Tensor

from benchmarks.method.rivals.weights import Linear, Models, seeded
from safegene.vectors.vector import SafetyVector

BYTES_PER_NUMBER = 2
BYTES_PER_INDEX = 4
NOISE_HIGHEST = 16.0


def uniform(vector: SafetyVector) -> Linear:
    """The same published vector as ours, one coefficient everywhere."""
    parts = {f"{path}.weight": part for path, part in vector.factors.items()}
    size = sum(part.a_RI.numel() + part.b_OR.numel() for part in parts.values())
    return Linear(
        lambda name: parts[name].delta(), tuple(parts), size * BYTES_PER_NUMBER
    )


def dare(models: Models, *, drop: float, seed: int = 0) -> Linear:
    """The full-rank difference with a share of its entries dropped, the rest larger.

    Args:
        models: the aligned and the degraded one count.
        drop: share of entries set to zero; the others are divided by what is left.
        seed: of the choice.

    Raises:
        ValueError: everything would be dropped, or less than nothing.
    """
    kept = sum(
        int((_mask(models.safety(name), drop, seed, name) > 0).sum())
        for name in models.linear
    )

    def change(name: str) -> Tensor:
        full = models.safety(name)
        return full * _mask(full, drop, seed, name)

    return Linear(change, models.linear, kept * (BYTES_PER_NUMBER + BYTES_PER_INDEX))


def _mask(like: Tensor, drop: float, seed: int, name: str) -> Tensor:
    """0 where an entry is dropped, else what it is multiplied by."""
    if not 0 <= drop < 1:
        message = f"drop: expected a share from 0 to below 1, got {drop}"
        raise ValueError(message)
    chance = torch.rand(like.shape, generator=seeded(seed, name))
    return (chance >= drop).float() / (1 - drop)


def noise(vector: SafetyVector, *, seed: int = 0) -> Linear:
    """A random vector: module by module of the same rank and norm as the real one."""
    parts = {f"{path}.weight": part for path, part in vector.factors.items()}

    def change(name: str) -> Tensor:
        generator = seeded(seed, name)
        real = parts[name]
        b = torch.randn(real.b_OR.shape, generator=generator)
        a = torch.randn(real.a_RI.shape, generator=generator)
        drawn = b @ a
        return drawn * (real.norm() / drawn.norm())

    # A seed is all there is to send.
    return Linear(change, tuple(parts), 8, highest=NOISE_HIGHEST)
