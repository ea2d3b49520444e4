"""Pairs of a base model and another one, with how alike their sketches are.

Small models come by dozens, trained here; SmolLM2-135M-Instruct, its fine-tunes of
`bench-method` and its permutations are the real ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.lineage.small import FAMILIES, Training, begun, trained
from benchmarks.lineage.storage import STORED
from benchmarks.lineage.strangers import PERMUTED
from benchmarks.method.loaded import load_exact
from benchmarks.method.workshop import Workshop
from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.lineage import (
    compare_sketches,
    correlation,
    read_sketch,
    sketch_positions,
)

EPOCH = 40
"""Steps in which the task's text is read once."""
PRETRAINING = Training("general", steps=300, rate=2e-3)
DESCENDANTS: Mapping[str, Training] = {
    "LoRA, merged": Training("task", steps=EPOCH, rate=2e-3, adapter=True),
    "full, 1 epoch": Training("task", steps=EPOCH, rate=5e-4),
    "full, 3 epochs": Training("task", steps=3 * EPOCH, rate=5e-4),
    "pretrained on": Training("news", steps=120, rate=1e-3),
}
AVERAGED = ("full, 3 epochs", "pretrained on")
AVERAGE = "average of two of these"
AS_IT_IS = "float32"
REAL = "SmolLM2"
ITSELF = "the base model itself"
TUNED = "safety-tuned, then"
OTHER_SEED = "other seed"
OTHER_SEED_TUNED = "other seed, tuned"
UNTRAINED = "untrained, other seed"
REAL_SEEDS = 5

Sketch = Sequence[float]
Say = Callable[[str], object]


@dataclass(frozen=True)
class Pair:
    """Two models of one fingerprint, compared."""

    family: str
    origin: str
    """What was made of the base model, or where the stranger comes from."""
    storage: str
    descendant: bool
    held_out: bool
    """Had no part in the choice of the statistic and its threshold."""
    pooled: float
    """Correlation of all values at once, to be compared with."""
    correlation: float
    """As verdicts have it."""


@dataclass(frozen=True)
class Among:
    """Compares one base model with others of its family."""

    family: str
    base: Sketch
    held_out: bool

    def pair(
        self,
        origin: str,
        other: Sketch,
        *,
        descendant: bool,
        storage: str = AS_IT_IS,
    ) -> Pair:
        """The base model and one other."""
        return Pair(
            family=self.family,
            origin=origin,
            storage=storage,
            descendant=descendant,
            held_out=self.held_out,
            pooled=correlation(self.base, other),
            correlation=compare_sketches(self.base, other).correlation,
        )

    def stored(self, origin: str, model: Any) -> Iterator[Pair]:
        """The base model and a descendant, stored in every way but its own."""
        for storage in STORED:
            if origin == ITSELF and storage == AS_IT_IS:
                continue
            other = sketch_of(model, storage)
            yield self.pair(origin, other, descendant=True, storage=storage)

    def permuted(self, model: Any) -> Iterator[Pair]:
        """The base model and its permutations, which are strangers."""
        for origin, permute in PERMUTED.items():
            moved = sketch_of(permute(deepcopy(model)))
            yield self.pair(origin, moved, descendant=False)


def small_pairs(
    texts: Mapping[str, Sequence[int]], seeds: int, say: Say
) -> Iterator[Pair]:
    """Every pair of the small models; those of odd seeds are held out.

    Args:
        texts: what they are trained on: `general`, `task` and `news`.
        seeds: models of each family.
        say: gets a line a model.
    """
    for family in FAMILIES:
        bases: list[Sketch] = []
        tuned: list[dict[str, Sketch]] = []
        for seed in range(seeds):
            say(f"{family}, seed {seed}")
            base = trained(begun(family, seed), PRETRAINING, texts)
            made = {ITSELF: base, **dict(_descendants(base, texts))}
            own = {name: sketch_of(model) for name, model in made.items()}
            bases.append(own.pop(ITSELF))
            tuned.append(own)
            among = Among(family, bases[seed], held_out=bool(seed % 2))
            for origin, model in made.items():
                yield from among.stored(origin, model)
            yield from among.permuted(base)
        yield from _between_seeds(family, bases, tuned)


def real_pairs(workshop: Workshop, say: Say) -> Iterator[Pair]:
    """Every pair of SmolLM2 and what was made of it; all of them are held out."""
    shipped = load_exact(workshop.shipped.directory())
    among = Among(REAL, sketch_of(shipped), held_out=True)
    yield from among.stored(ITSELF, shipped)
    yield from among.permuted(shipped)
    for seed in range(REAL_SEEDS):
        torch.manual_seed(seed)
        fresh = type(shipped)(shipped.config)
        yield among.pair(UNTRAINED, sketch_of(fresh), descendant=False)
    for origin, load in _real_descendants(workshop):
        say(f"{REAL}, {origin}")
        yield from among.stored(origin, load())


def _real_descendants(workshop: Workshop) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What `bench-method` made of SmolLM2: a name and how to load it."""
    aligned = workshop.aligned.directory()
    yield "safety-tuned", partial(load_exact, aligned)
    yield f"{TUNED} general data", partial(load_exact, workshop.drift.directory())
    for task, kind in workshop.recipe.targets:
        made = workshop.target(task, kind).directory()
        if kind == "lora":
            yield f"{TUNED} a task, LoRA", partial(load_exact, aligned, made)
        else:
            yield f"{TUNED} a task, full", partial(load_exact, made)


def _descendants(
    base: Any, texts: Mapping[str, Sequence[int]]
) -> Iterator[tuple[str, Any]]:
    """What people make of a model, by name."""
    made = {
        name: trained(deepcopy(base), training, texts)
        for name, training in DESCENDANTS.items()
    }
    yield from made.items()
    yield AVERAGE, _average(*(made[name] for name in AVERAGED))


@torch.no_grad()
def _average(first: Any, second: Any) -> Any:
    mean = deepcopy(first)
    others = dict(second.named_parameters())
    for name, weight in mean.named_parameters():
        weight.lerp_(others[name], 0.5)
    return mean


def _between_seeds(
    family: str, bases: Sequence[Sketch], tuned: Sequence[Mapping[str, Sketch]]
) -> Iterator[Pair]:
    """Strangers: models of other seeds, and what was made of them."""
    for seed, base in enumerate(bases):
        for other, sketch in enumerate(bases):
            among = Among(family, base, held_out=bool(seed % 2 or other % 2))
            if seed < other:
                yield among.pair(OTHER_SEED, sketch, descendant=False)
            if seed != other:
                for made in tuned[other].values():
                    yield among.pair(OTHER_SEED_TUNED, made, descendant=False)


def sketch_of(model: Any, storage: str = AS_IT_IS) -> Sketch:
    """The sketch of a model in memory, its weights having been stored."""
    weights: dict[str, Tensor] = dict(model.named_parameters())
    positions = sketch_positions(architecture_from_config(model.config.to_dict()))
    stored = {
        name: STORED[storage](weights[name].detach()).flatten()
        for name in dict.fromkeys(f"{run.module}.weight" for run in positions)
    }
    return read_sketch(
        positions,
        lambda name, offset, count: stored[name][offset : offset + count].tolist(),
    )
