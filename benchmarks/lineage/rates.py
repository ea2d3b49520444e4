"""How often something went wrong, by origin, with exact intervals."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import comb

from benchmarks.lineage.pairs import Pair

TAIL = 0.025
STEPS = 60
"""Halvings of an interval; more than a float tells apart."""


@dataclass(frozen=True)
class Rate:
    """So many of so many, with the 95 % interval of Clopper and Pearson."""

    count: int
    of: int

    @property
    def low(self) -> float:
        """Lower bound: at a lesser rate so many are rarer than 2.5 %."""
        if self.count == 0:
            return 0.0
        return _crossing(lambda p: 1 - _at_most(self.count - 1, self.of, p))

    @property
    def high(self) -> float:
        """Upper bound: at a greater rate so few are rarer than 2.5 %."""
        if self.count == self.of:
            return 1.0
        return _crossing(lambda p: 1 - _at_most(self.count, self.of, p), 1 - TAIL)

    def __str__(self) -> str:
        share = self.count / self.of
        return (
            f"{self.count} of {self.of}: {share:.1%} [{self.low:.1%}, {self.high:.1%}]"
        )


@dataclass(frozen=True)
class Origin:
    """The pairs of one origin, judged."""

    name: str
    wrong: Rate
    lowest: float
    highest: float


def judged(
    pairs: Sequence[Pair], threshold: float, key: Callable[[Pair], str]
) -> list[Origin]:
    """How often a threshold judges wrong, by `key`, in the order of the pairs."""
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[key(pair)].append(pair)
    return [
        Origin(
            name,
            error_rate(group, threshold),
            min(pair.correlation for pair in group),
            max(pair.correlation for pair in group),
        )
        for name, group in groups.items()
    ]


def error_rate(pairs: Sequence[Pair], threshold: float) -> Rate:
    """Descendants below the threshold and strangers at or above it."""
    wrong = sum((pair.correlation >= threshold) != pair.descendant for pair in pairs)
    return Rate(wrong, len(pairs))


def gap(pairs: Iterable[Pair]) -> tuple[float, float]:
    """The highest correlation of a stranger and the lowest of a descendant."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for pair in pairs:
        found[pair.descendant].append(pair.correlation)
    return max(found[False]), min(found[True])


def table(origins: Iterable[Origin], wrong: str) -> Iterator[str]:
    """A Markdown table."""
    yield f"| origin | {wrong} | lowest | highest |"
    yield "|---|---|---|---|"
    for origin in origins:
        yield (
            f"| {origin.name} | {origin.wrong} | {origin.lowest:.3f}"
            f" | {origin.highest:.3f} |"
        )


def _at_most(count: int, of: int, rate: float) -> float:
    """Probability of at most `count` of `of`, each with probability `rate`."""
    return sum(
        comb(of, hits) * rate**hits * (1 - rate) ** (of - hits)
        for hits in range(count + 1)
    )


def _crossing(rising: Callable[[float], float], level: float = TAIL) -> float:
    """Where a function that rises from 0 to 1 comes to a level."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < level else (low, middle)
    return (low + high) / 2
