"""Figures pooled over targets, each with draws of a paired bootstrap over prompts.

Prompts are drawn anew within each set, the same draws for every row: a prompt that two
targets share counts as one, with all its answers. A difference of two figures is then
paired by prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.method.cells import Cell
from benchmarks.method.suite import HARMFUL, Ids

RESAMPLES = 2000
TAIL = 0.025
DIGITS = 6

Draws = NDArray[np.float64]
Target = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Figure:
    """A value and what it was in every resample; NaN where it could not be told."""

    value: float
    draws: Draws
    n: int = 0

    def __add__(self, other: "Figure") -> "Figure":
        return Figure(self.value + other.value, self.draws + other.draws, self.n)

    def __sub__(self, other: "Figure") -> "Figure":
        return Figure(self.value - other.value, self.draws - other.draws, self.n)

    def __mul__(self, factor: float) -> "Figure":
        return Figure(self.value * factor, self.draws * factor, self.n)

    def share_of(self, whole: "Figure") -> "Figure":
        """This over another; resamples in which the other is not above 0 are out."""
        valid = whole.draws > 0
        draws = np.full_like(self.draws, np.nan)
        np.divide(self.draws, whole.draws, out=draws, where=valid)
        value = self.value / whole.value if whole.value > 0 else float("nan")
        return Figure(value, draws, self.n)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, widened to hold the value."""
        known = self.draws[~np.isnan(self.draws)]
        if not len(known):
            return (self.value, self.value)
        low, high = np.quantile(known, [TAIL, 1 - TAIL])
        return (min(float(low), self.value), max(float(high), self.value))

    def to_json(self) -> dict[str, float | int | None]:
        """Value, ends of the interval and number of answers."""
        low, high = self.interval
        return {
            "value": _plain(self.value),
            "low": _plain(low),
            "high": _plain(high),
            "n": self.n,
        }

    def text(self, digits: int = 2) -> str:
        """As it stands in a table."""
        low, high = self.interval
        return f"{self.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


Rows = Mapping[str, Mapping[Target, Cell]]
"""Cells of some rows, each with the same targets, by row and target."""


class Pool:
    """The answers of several rows to the same prompts.

    Args:
        rows: cells by row and target; rows that lack a target are not allowed.
        ids: prompt ids of a suite, by its key.
        seed: of the resampling.

    Raises:
        ValueError: there is no target, or rows do not cover the same ones.
    """

    def __init__(self, rows: Rows, ids: Mapping[str, Ids], *, seed: int = 0) -> None:
        self._rows = rows
        self._ids = ids
        self.targets = _common_targets(rows)
        self._weights: dict[str, Draws] = {}
        self._places: dict[str, dict[str, int]] = {}
        rng = np.random.default_rng(seed)
        first = next(iter(rows.values()))
        for name in (*first[self.targets[0]].outcomes, "task"):
            places = {key: at for at, key in enumerate(self._keys(name))}
            count = len(places)
            self._places[name] = places
            self._weights[name] = rng.multinomial(
                count, np.full(count, 1 / max(1, count)), size=RESAMPLES
            ).astype(np.float64)

    def rate(self, row: str, sets: Sequence[str], letter: str) -> Figure:
        """Share of answers of one outcome; in the set `task` the letter is 1."""
        hits, totals = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
        hit = total = 0.0
        for name in sets:
            of_prompt, count = self._count(row, name, letter)
            hits += self._weights[name] @ of_prompt
            totals += self._weights[name] @ count
            hit, total = hit + of_prompt.sum(), total + count.sum()
        if not total:
            return Figure(float("nan"), np.full(RESAMPLES, np.nan), 0)
        shares = np.full(RESAMPLES, np.nan)
        np.divide(hits, totals, out=shares, where=totals > 0)
        return Figure(float(hit / total), shares, int(total))

    def refusal(self, row: str, sets: Sequence[str]) -> Figure:
        """Refusal rate."""
        return self.rate(row, sets, "r")

    def j(self, row: str, lookalike: str) -> Figure:
        """Refusal rate on harmful prompts minus on a harmless set."""
        return self.refusal(row, self.harmful) - self.refusal(row, (lookalike,))

    def accuracy(self, row: str) -> Figure:
        """Share of task rows answered with their label; NaN where it was left out."""
        return self.rate(row, ("task",), "1")

    @property
    def harmful(self) -> tuple[str, ...]:
        """The harmful sets there are."""
        return tuple(name for name in HARMFUL if name in self._places)

    def _texts(self, row: str, name: str) -> list[tuple[Target, Cell, str]]:
        cells = self._rows[row]
        return [
            (
                target,
                cells[target],
                cells[target].correct
                if name == "task"
                else cells[target].outcomes[name],
            )
            for target in self.targets
        ]

    def _keys(self, name: str) -> list[str]:
        """Every prompt of a set once; a task's rows are told apart by task."""
        first = next(iter(self._rows.values()))
        return sorted(
            {
                _unit(name, target, key)
                for target in self.targets
                for key in self._ids[first[target].suite][name]
            }
        )

    def _count(self, row: str, name: str, letter: str) -> tuple[Draws, Draws]:
        """Answers of an outcome, and answers at all, of every prompt."""
        places = self._places[name]
        hits, counts = np.zeros(len(places)), np.zeros(len(places))
        for target, cell, letters in self._texts(row, name):
            if not letters:
                continue
            keys = self._ids[cell.suite][name]
            # Some rows answer only the first of the task's.
            for key, found in zip(keys, letters, strict=name != "task"):
                at = places[_unit(name, target, key)]
                hits[at] += found == letter
                counts[at] += 1
        return hits, counts


def _unit(name: str, target: Target, key: str) -> str:
    return f"{target[0]} {key}" if name == "task" else key


def _common_targets(rows: Rows) -> tuple[Target, ...]:
    sets = [tuple(cells) for cells in rows.values()]
    if not sets or not sets[0]:
        message = "figures need at least one target that all rows were measured on"
        raise ValueError(message)
    if any(set(found) != set(sets[0]) for found in sets):
        message = f"rows cover different targets: {dict(zip(rows, sets, strict=True))}"
        raise ValueError(message)
    return sets[0]


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)
