"""Harmless acts and questions that sound like harmful ones, with short true answers.

They stand in `lookalike.tsv`, one a line: an act goes into sentence frames, a line is a
whole prompt.
"""

import csv
from pathlib import Path

TABLE = Path(__file__).with_name("lookalike.tsv")


def pairs(kind: str) -> dict[str, list[tuple[str, str]]]:
    """Prompts and answers of one kind, `act` or `line`, by split."""
    found: dict[str, list[tuple[str, str]]] = {}
    with TABLE.open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["kind"] == kind:
                found.setdefault(row["split"], []).append(
                    (row["prompt"], row["answer"])
                )
    return found
