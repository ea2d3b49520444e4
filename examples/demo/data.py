"""The demo's data: this project's own prompts, split by template."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safegene.evaluation.rows import PromptRow, read_rows

DATA = Path(__file__).resolve().parents[1] / "data"
SETS = ("harmful", "lookalike", "general", "tickets", "support")


@dataclass(frozen=True)
class DemoData:
    """Rows by set and split, and the files they come from."""

    rows: dict[tuple[str, str], tuple[PromptRow, ...]]

    def take(self, name: str, split: str, count: int) -> tuple[PromptRow, ...]:
        """The first `count` rows, spread evenly over the split's order.

        Raises:
            ValueError: the split holds fewer rows.
        """
        rows = self.rows[name, split]
        if count > len(rows):
            message = f"{name}/{split} holds {len(rows)} rows, {count} wanted"
            raise ValueError(message)
        return tuple(rows[at * len(rows) // count] for at in range(count))


def load_data(directory: Path = DATA) -> DemoData:
    """Read the five files and group their rows by split."""
    rows: dict[tuple[str, str], tuple[PromptRow, ...]] = {}
    for name in SETS:
        path = directory / f"{name}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines()
        splits = [json.loads(line)["split"] for line in lines]
        for row, split in zip(read_rows(path), splits, strict=True):
            rows[name, split] = (*rows.get((name, split), ()), row)
    return DemoData(rows)


def write_rows(path: Path, rows: Iterable[PromptRow]) -> Path:
    """Write rows as JSONL with `prompt`, `response` and `label` where there are any."""
    lines = []
    for row in rows:
        facts = {"id": row.id, "prompt": row.prompt, "response": row.response}
        if row.label is not None:
            facts["label"] = row.label
        lines.append(json.dumps({k: v for k, v in facts.items() if v is not None}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
