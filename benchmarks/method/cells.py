"""Keeps what was measured: one cell for each target, row and setting; no texts.

A cell's key covers everything it depends on. Cells are read from two places: the build
directory, which is written, and a folder of the repository, so that a run on another
machine goes on where one ended.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import OUT, ROOT

FORMAT = 1
PLACE = OUT / "method"
"""Where the benchmark keeps what it makes and measures."""
PAGES = ROOT / "docs" / "benchmarks" / "method"
"""What of it is published."""
COMMITTED = PAGES / "cells"


@dataclass(frozen=True)
class Cost:
    """What a repair took, measuring apart."""

    forward_equivalents: int = 0
    """Sequences run: a forward counts one, a backward two."""
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    """Above what was in memory before, the target included."""
    bytes_shipped: int = 0


@dataclass(frozen=True)
class Cell:
    """One row of one target."""

    row: str
    task: str
    kind: str
    budget: float | None
    """Of ours, or of the one of ours that the KL is matched to."""
    suite: str
    outcomes: dict[str, str]
    correct: str
    margins: dict[str, list[float]]
    kl: dict[str, float] | None
    """To the target on held-out rows; None where another model was measured."""
    cost: Cost
    notes: dict[str, Any] = field(default_factory=dict)
    """Numbers that explain the row: strength, coefficients, whether KL was matched."""
    measuring_seconds: float = 0.0
    made: dict[str, str] = field(default_factory=dict)
    """Where and when."""
    format: int = FORMAT

    @property
    def name(self) -> str:
        """What the cell is called in file names and in progress."""
        level = "" if self.budget is None else f"-{self.budget:g}"
        return f"{self.task}-{self.kind}-{self.row}{level}"

    def to_json(self) -> str:
        """One line, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Cell":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is of another format.
        """
        value = json.loads(text)
        if value.get("format") != FORMAT:
            message = f"expected a cell of format {FORMAT}, got {value.get('format')}"
            raise ValueError(message)
        return cls(**(value | {"cost": Cost(**value["cost"])}))


class CellStore:
    """Cells by key, and the ids of the suites they tell of.

    Args:
        written: where new cells go.
        read_only: where others may lie, such as a folder of the repository.
    """

    def __init__(self, written: Path, *read_only: Path) -> None:
        self._written = written
        self._places = (written, *read_only)

    def get(self, key: str) -> Cell | None:
        """The cell of a key, if there is one."""
        path = self._find(f"*-{key}.json")
        return None if path is None else Cell.from_json(path.read_text("utf-8"))

    def put(self, key: str, cell: Cell, ids: dict[str, tuple[str, ...]]) -> None:
        """Keep a cell; it appears whole or not at all."""
        _write(self._written / f"suite-{cell.suite}.json", json.dumps(ids) + "\n")
        _write(self._written / f"{cell.name}-{key}.json", cell.to_json())

    def ids(self, suite: str) -> dict[str, tuple[str, ...]]:
        """Prompt ids of a suite, by set.

        Raises:
            FileNotFoundError: no cell of this suite was kept.
        """
        path = self._find(f"suite-{suite}.json")
        if path is None:
            message = f"suite-{suite}.json is in none of {[*map(str, self._places)]}"
            raise FileNotFoundError(message)
        value = json.loads(path.read_text("utf-8"))
        return {name: tuple(ids) for name, ids in value.items()}

    def publish(self, keys: Iterable[str], folder: Path) -> int:
        """Make `folder` hold these cells and their suites, and nothing else.

        Returns:
            How many cells it holds now.
        """
        wanted = {path.name: path for path in self._with_suites(keys)}
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.json"):
            if old.name not in wanted:
                old.unlink()
        for name, path in wanted.items():
            if path.parent != folder:
                shutil.copyfile(path, folder / name)
        return sum(not name.startswith("suite-") for name in wanted)

    def _with_suites(self, keys: Iterable[str]) -> Iterator[Path]:
        for key in keys:
            path = self._find(f"*-{key}.json")
            if path is not None:
                yield path
                suite = Cell.from_json(path.read_text("utf-8")).suite
                found = self._find(f"suite-{suite}.json")
                if found is not None:
                    yield found

    def _find(self, pattern: str) -> Path | None:
        found = (path for place in self._places for path in place.glob(pattern))
        return next(found, None)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
