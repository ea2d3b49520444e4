"""Which of several structures is most like a model's, when none is the same.

What does not fit cannot be applied, however near; but the nearest families tell a
person whether the model is another size, another generation or something else.
"""

from collections.abc import Iterable
from itertools import groupby

from safegene.artifact.architecture import Architecture

Distance = tuple[bool, int, int, int, str]


def distance(target: Architecture, other: Architecture) -> Distance:
    """How far another structure is from a model's; to be sorted by.

    The model type counts first, then the width, then the number of layers: what a
    database can order by. Among equals it is the modules that differ, and at last the
    fingerprint, so that the order is always the same.
    """
    return (
        *_size_distance(target, other),
        len(set(other.modules) ^ set(target.modules)),
        str(other.fingerprint),
    )


def nearest_first(
    target: Architecture, others: Iterable[Architecture]
) -> list[Architecture]:
    """Other structures, those most like the target's first."""

    def sizes(other: Architecture) -> tuple[bool, int, int]:
        return _size_distance(target, other)

    found: list[Architecture] = []
    # Modules cost a hundred times as much to compare, and matter among equals only.
    for _, group in groupby(sorted(others, key=sizes), key=sizes):
        alike = list(group)
        if len(alike) > 1:
            alike.sort(key=lambda other: distance(target, other))
        found.extend(alike)
    return found


def _size_distance(target: Architecture, other: Architecture) -> tuple[bool, int, int]:
    """What a database can order by."""
    return (
        other.model_type != target.model_type,
        abs(other.hidden_size - target.hidden_size),
        abs(other.layers - target.layers),
    )
