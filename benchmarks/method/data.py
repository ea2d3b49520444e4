"""The prompts of the benchmark: read from `SAFEGENE_DATA`, split by content.

Which split a row falls in depends on its text alone, so nothing moves when a count in
the recipe changes. No text is in two splits: tests are filled first, then calibration,
then what models are tuned on, and a text that was seen before is left out. Texts are
compared without case, marks and spaces.
"""

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import ROOT
from examples.demo.data import load_data as load_own_data
from safegene.evaluation.refusal import is_refusal
from safegene.evaluation.rows import PromptRow, read_rows

VARIABLE = "SAFEGENE_DATA"
DEFAULT = ROOT.parent / "shared" / "data"
NEAR_DUPLICATE = 0.6
"""Share of common words (Jaccard) from which two harmful prompts count as one."""
LONGEST_PROMPT = 600
"""Characters; ordinary prompts with longer texts in them would rule the run time."""
NOT_WORDS = re.compile(r"[\W_]+")


class MissingDataError(RuntimeError):
    """The data is not there; the message says what to do."""


@dataclass(frozen=True)
class Part:
    """A slice of a file's rows, by the place of their text between 0 and 1."""

    split: str
    file: str
    low: float
    high: float


PARTS = (
    Part("test/advbench", "harmful_advbench", 0.0, 1.0),
    Part("test/beavertails", "harmful_beavertails_test", 0.0, 1.0),
    Part("test/xstest_unsafe", "harmful_xstest_unsafe", 0.0, 1.0),
    Part("test/coconot", "benign_pairs_coconot_contrast", 0.0, 0.50),
    Part("test/xstest_safe", "benign_xstest_safe", 0.0, 1.0),
    Part("test/dolly", "general_dolly_1000", 0.0, 0.40),
    Part("calibration/safety_tuned", "refusal_pairs_safety_tuned_llamas", 0.0, 0.15),
    Part("calibration/malicious", "harmful_malicious_instruct", 0.0, 1.0),
    Part("calibration/coconot", "benign_pairs_coconot_contrast", 0.50, 0.62),
    Part("calibration/dolly", "general_dolly_1000", 0.40, 0.55),
    Part("align/safety_tuned", "refusal_pairs_safety_tuned_llamas", 0.15, 1.0),
    Part("align/coconot", "benign_pairs_coconot_contrast", 0.62, 1.0),
    Part("align/dolly", "general_dolly_1000", 0.55, 1.0),
    Part("task/general", "general_alpaca_3000", 0.0, 0.10),
    Part("drift/general", "general_alpaca_3000", 0.10, 1.0),
)
"""In the order in which texts are claimed."""

OWN = {
    "calibration/own_harmful": ("harmful", "calibration"),
    "calibration/own_lookalike": ("lookalike", "calibration"),
    "align/own_harmful": ("harmful", "extraction"),
    "align/own_lookalike": ("lookalike", "extraction"),
}
"""Splits of this project's own prompts (examples/data), which fill up short pools."""

TASKS = ("ag_news", "sst2", "boolq")
TASK_CALIBRATION = 0.2
"""Share of a task's training rows that is kept for calibration."""
REFUSALS = "refusal_pairs_safety_tuned_llamas"
"""Some of its answers correct instead of refusing; those rows are left out."""
SHORTEST_ANSWER = 4
"""Characters of a general answer; shorter ones read like labels."""
TUNED_ON = frozenset({REFUSALS})
"""A harmful prompt that was `seen_in` one of these files is no test."""


def task_parts(task: str) -> tuple[Part, ...]:
    """How a task's two files are split."""
    return (
        Part(f"test/{task}", f"task_{task}_test", 0.0, 1.0),
        Part(f"calibration/{task}", f"task_{task}_train", 0.0, TASK_CALIBRATION),
        Part(f"task/{task}", f"task_{task}_train", TASK_CALIBRATION, 1.0),
    )


@dataclass(frozen=True)
class Data:
    """Rows by split, in an order that their texts decide."""

    splits: Mapping[str, tuple[PromptRow, ...]]

    def take(self, split: str, count: int) -> tuple[PromptRow, ...]:
        """The first `count` rows of a split.

        Raises:
            ValueError: the split holds fewer.
        """
        rows = self.splits[split]
        if count > len(rows):
            message = f"{split} holds {len(rows)} rows, {count} wanted"
            raise ValueError(message)
        return rows[:count]

    def draw(self, split: str, count: int, number: int) -> tuple[PromptRow, ...]:
        """The `number`-th draw of `count` rows, begun anew where the split ends.

        Draws hold different rows as long as there are enough.

        Raises:
            ValueError: the split holds fewer than `count`.
        """
        rows = self.splits[split]
        self.take(split, count)
        start = number * count
        return tuple(rows[(start + at) % len(rows)] for at in range(count))


def data_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the data lies.

    Raises:
        MissingDataError: it is not there.
    """
    directory = Path(environment.get(VARIABLE) or DEFAULT)
    if not (directory / f"{PARTS[0].file}.jsonl").is_file():
        message = (
            f"the benchmark's prompts are missing: expected {PARTS[0].file}.jsonl and"
            f" others in {directory}; set {VARIABLE} to the folder that holds them"
            " (docs/benchmarks/method.md lists the files)"
        )
        raise MissingDataError(message)
    return directory


def load_data(directory: Path, tasks: Sequence[str] = TASKS) -> Data:
    """Read and split everything.

    Args:
        directory: of the files.
        tasks: whose rows are read.

    Raises:
        MissingDataError: a file is not there.
    """
    parts = sorted(
        (*PARTS, *(part for task in tasks for part in task_parts(task))),
        key=lambda part: _ORDER.index(part.split.partition("/")[0]),
    )
    files = {part.file: _read(directory / f"{part.file}.jsonl") for part in parts}
    claimed: set[str] = set()
    tests: list[frozenset[str]] = []
    splits: dict[str, tuple[PromptRow, ...]] = {}
    for part in parts:
        rows = _unclaimed(_slice(files[part.file], part), claimed)
        if part.file == "harmful_advbench":
            rows = _without_near_duplicates(rows)
            tests = [words_of(row.prompt) for row in rows]
        elif part.split in {"calibration/malicious", "calibration/safety_tuned"}:
            rows = [row for row in rows if not _is_near(row, tests)]
        claimed.update(normalized(row.prompt) for row in rows)
        splits[part.split] = tuple(rows)
    own = load_own_data()
    for split, (name, part_of) in OWN.items():
        rows = _unclaimed(own.rows[name, part_of], claimed)
        rows = _slice(rows, Part(split, name, 0.0, 1.0))
        claimed.update(normalized(row.prompt) for row in rows)
        splits[split] = tuple(rows)
    return Data(splits)


_ORDER = ("test", "calibration", "align", "task", "drift")


def normalized(text: str) -> str:
    """What two texts have in common that are the same to a reader."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return NOT_WORDS.sub(" ", folded).strip()


def place_of(text: str) -> float:
    """Where a text stands between 0 and 1: even, and the same on every machine."""
    digest = hashlib.sha256(normalized(text).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def words_of(text: str) -> frozenset[str]:
    """The words of a text, to compare prompts by."""
    return frozenset(normalized(text).split())


def _read(path: Path) -> list[PromptRow]:
    if not path.is_file():
        message = f"{path} is missing; {VARIABLE} has to name the folder of all files"
        raise MissingDataError(message)
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    seen = [frozenset(json.loads(line).get("seen_in") or ()) for line in lines]
    rows = zip(read_rows(path), seen, strict=True)
    return [row for row, files in rows if not files & TUNED_ON and _is_fit(row, path)]


def _is_fit(row: PromptRow, path: Path) -> bool:
    answer = row.response or ""
    if path.stem == REFUSALS:
        return is_refusal(answer)
    if path.stem.startswith("general_"):
        return len(row.prompt) <= LONGEST_PROMPT and len(answer) >= SHORTEST_ANSWER
    return True


def _slice(rows: Iterable[PromptRow], part: Part) -> list[PromptRow]:
    """The part's rows by their texts' places, each text once."""
    placed = {normalized(row.prompt): row for row in rows}
    inside = (
        (place_of(text), row)
        for text, row in placed.items()
        if part.low <= place_of(text) < part.high
    )
    return [row for _, row in sorted(inside, key=lambda pair: pair[0])]


def _unclaimed(rows: Iterable[PromptRow], claimed: set[str]) -> list[PromptRow]:
    return [row for row in rows if normalized(row.prompt) not in claimed]


def _without_near_duplicates(rows: Iterable[PromptRow]) -> list[PromptRow]:
    kept: list[tuple[PromptRow, frozenset[str]]] = []
    for row in rows:
        if not _is_near(row, [words for _, words in kept]):
            kept.append((row, words_of(row.prompt)))
    return [row for row, _ in kept]


def _is_near(row: PromptRow, others: Iterable[frozenset[str]]) -> bool:
    words = words_of(row.prompt)
    return any(
        len(words & other) >= NEAR_DUPLICATE * len(words | other) for other in others
    )


def overlaps(data: Data) -> Iterator[tuple[str, str, int]]:
    """Pairs of splits that share texts, and how many; there are none."""
    texts = {
        name: {normalized(row.prompt) for row in rows}
        for name, rows in data.splits.items()
    }
    names = sorted(texts)
    for at, first in enumerate(names):
        for second in names[at + 1 :]:
            common = len(texts[first] & texts[second])
            if common:
                yield first, second, common
