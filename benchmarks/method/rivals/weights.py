"""The weights that rivals compute with, all float32, by parameter name."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]
Delta = dict[str, Tensor]
"""What is added to a target's weights."""


class Rival(Protocol):
    """A repair with one knob; 0 leaves the target as it is."""

    @property
    def highest(self) -> float:
        """The largest strength that makes sense."""

    @property
    def bytes_shipped(self) -> int:
        """What somebody has to download to apply it, at two bytes a number."""

    def delta(self, strength: float) -> Delta:
        """What is added to the target's weights."""


@dataclass(frozen=True, eq=False)
class Models:
    """What the rivals know: the target and the models around it.

    Names in `linear` are those of linear layers' weights, without embeddings and head.
    """

    target: Weights
    aligned: Weights
    degraded: Weights
    linear: tuple[str, ...]

    def safety(self, name: str) -> Tensor:
        """Aligned minus degraded."""
        return self.aligned[name] - self.degraded[name]

    def task(self, name: str) -> Tensor:
        """Target minus aligned: what fine-tuning did."""
        return self.target[name] - self.aligned[name]


@dataclass(frozen=True, eq=False)
class Linear:
    """A rival whose change grows in proportion to its strength."""

    change: Callable[[str], Tensor]
    """The change at strength 1, by parameter name."""
    names: tuple[str, ...]
    bytes_shipped: int
    highest: float = 4.0

    def delta(self, strength: float) -> Delta:
        """What is added to the target's weights."""
        return {name: strength * self.change(name) for name in self.names}


def numbers(weights: Mapping[str, Tensor], names: tuple[str, ...]) -> int:
    """How many numbers the named weights hold."""
    return sum(weights[name].numel() for name in names)


def cosine(first: Tensor, second: Tensor) -> float:
    """Cosine of two matrices as vectors; 0 where one is zero."""
    size = float(first.norm() * second.norm())
    return float((first * second).sum()) / size if size > 0 else 0.0


def seeded(seed: int, name: str) -> torch.Generator:
    """A generator of its own for every weight, the same in every process."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
