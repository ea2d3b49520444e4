"""Which of several structures is most like a model's, when none is the same.

What does not fit cannot be applied, however near; but the nearest families tell a
person whether the model is another size, another generation or something else.
"""

from collections.abc import Iterable

from safegene.artifact.architecture import Architecture

Distance = tuple[bool, int, int, int, str]


def distance(target: Architecture, other: Architecture) -> Distance:
    """How far another structure is from a model's; to be sorted by.

    The model type counts first, then the width, then the number of layers: what a
    database can order by. Among equals it is the modules that differ, and at last the
    fingerprint, so that the order is always the same.
    """
    return (
        other.model_type != target.model_type,
        abs(other.hidden_size - target.hidden_size),
        abs(other.layers - target.layers),
        len(set(other.modules) ^ set(target.modules)),
        str(other.fingerprint),
    )


def nearest_first(
    target: Architecture, others: Iterable[Architecture]
) -> list[Architecture]:
    """Other structures, those most like the target's first."""
    return sorted(others, key=lambda other: distance(target, other))
