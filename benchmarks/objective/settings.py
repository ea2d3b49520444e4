"""Which coefficients are tried: uniform ones, and ones that differ from layer to layer.

Uniform ones alone would show one line from too little to too much; a solver walks
across it.
"""

import random
from collections.abc import Iterator, Sequence

UNIFORM = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.6, 2.0)
SCALES = (0.6, 1.2, 2.0)
"""Highest coefficient of settings drawn layer by layer."""
STRENGTHS = (0.8, 1.6)
"""Of settings with a random half, or a run, of the layers."""
DRAWS = 4
MODERATE_SCALES = (0.9, 1.5)
"""Highest coefficient of more settings drawn layer by layer, where a KL budget lets
recalibration go."""


def settings(layers: int, *, seed: int = 0) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Name and coefficients of every setting, always the same ones.

    Args:
        layers: how many coefficients there are.
        seed: of what is drawn.
    """
    for value in UNIFORM:
        yield f"uniform {value}", (value,) * layers
    draw = random.Random(seed)  # noqa: S311 - reproducible, no secret
    for number in range(DRAWS):
        for scale in SCALES:
            drawn = tuple(round(draw.uniform(0, scale), 2) for _ in range(layers))
            yield f"drawn to {scale}, {number + 1}", drawn
    for number in range(DRAWS // 2):
        for strength in STRENGTHS:
            half = draw.sample(range(layers), layers // 2)
            yield f"half at {strength}, {number + 1}", _only(half, strength, layers)
    third = -(-layers // 3)
    for start in range(0, layers, third):
        run = range(start, min(layers, start + third))
        name = f"layers {run[0]} to {run[-1]}"
        yield name, _only(run, STRENGTHS[-1], layers)
    for number in range(DRAWS):
        for scale in MODERATE_SCALES:
            drawn = tuple(round(draw.uniform(0, scale), 2) for _ in range(layers))
            yield f"drawn to {scale}, {number + 1}", drawn


def _only(wanted: Sequence[int], strength: float, layers: int) -> tuple[float, ...]:
    return tuple(strength if layer in wanted else 0.0 for layer in range(layers))
