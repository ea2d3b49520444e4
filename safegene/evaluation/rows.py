"""Prompt files: one JSON object a line, read with errors that name the line.

First station of evaluation and of recalibration alike. The module is stable and needs
no torch.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safegene.errors import InvalidDataError

DERIVED_ID_LENGTH = 16
"""Hex digits of a derived id: 64 bits, far from collisions for any prompt file."""

OPTIONAL_KEYS = ("response", "label", "id", "category")


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt, with what is known about it."""

    prompt: str
    """What the user says; the chat template is added later."""
    response: str | None = None
    """The wanted answer, where the row is one to learn from or to compare with."""
    label: str | None = None
    """The right answer of a classification task."""
    id: str | None = None
    """The name the row goes by in reports; None derives one from the prompt."""
    category: str | None = None
    """Kind of harm or of task, for finer tables."""

    @property
    def key(self) -> str:
        """The row's id, else the head of the SHA-256 of its prompt."""
        if self.id is not None:
            return self.id
        return hashlib.sha256(self.prompt.encode()).hexdigest()[:DERIVED_ID_LENGTH]


def unique_keys(rows: Iterable[PromptRow]) -> tuple[str, ...]:
    """Name every row; a repeated key gets `-2`, `-3`, … in order of appearance.

    The same rows in the same order always get the same names, so answers of two models
    pair up by name.
    """
    seen: Counter[str] = Counter()
    keys = []
    for row in rows:
        seen[row.key] += 1
        count = seen[row.key]
        keys.append(row.key if count == 1 else f"{row.key}-{count}")
    return tuple(keys)


def read_rows(path: str | Path) -> tuple[PromptRow, ...]:
    """Read a JSON Lines file of prompts, whole, into memory.

    Each line is an object with `prompt` and, if wanted, `response`, `label`, `id` and
    `category`; other keys are left alone. Blank lines are skipped.

    Args:
        path: the file, UTF-8.

    Returns:
        The rows in the order of the file, at least one.

    Raises:
        InvalidDataError: the file cannot be read, holds no row, or a line is not such
            an object; the message names file and line.
    """
    path = Path(path)
    rows: list[PromptRow] = []
    first_seen: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        row = _row(line, path, number)
        if row.id is not None and first_seen.setdefault(row.id, number) != number:
            detail = (
                f"{path}, line {number}: the id {row.id!r} was used on line"
                f" {first_seen[row.id]} already; give every row an id of its own"
            )
            raise InvalidDataError(detail, path=str(path), line=number)
        rows.append(row)
    if not rows:
        detail = f"{path}: expected at least one row with a prompt, the file has none"
        raise InvalidDataError(detail, path=str(path))
    return tuple(rows)


def prompts_of(rows: Sequence[PromptRow]) -> list[str]:
    """Only the prompts, in order."""
    return [row.prompt for row in rows]


def _lines(path: Path) -> list[str]:
    try:
        # -sig: editors on Windows put a byte order mark in front of UTF-8.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        detail = f"{path}: cannot be read: {error.strerror or error}"
        raise InvalidDataError(detail, path=str(path)) from error
    except UnicodeDecodeError as error:
        detail = f"{path}: expected UTF-8 text, found other bytes at {error.start}"
        raise InvalidDataError(detail, path=str(path)) from error
    # Not splitlines(): JSON strings may hold U+2028 and other exotic line ends.
    return text.split("\n")


def _row(line: str, path: Path, number: int) -> PromptRow:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        detail = f"{path}, line {number}: expected a JSON object, not JSON: {error}"
        raise InvalidDataError(detail, path=str(path), line=number) from error
    if not isinstance(value, dict):
        detail = (
            f"{path}, line {number}: expected a JSON object,"
            f" found {type(value).__name__}"
        )
        raise InvalidDataError(detail, path=str(path), line=number)
    prompt = _text(value, "prompt", path, number)
    if prompt is None or not prompt.strip():
        detail = (
            f'{path}, line {number}: expected a key "prompt" with text,'
            f" found {'an empty one' if 'prompt' in value else 'none'}"
        )
        raise InvalidDataError(detail, path=str(path), line=number)
    optional = {key: _text(value, key, path, number) for key in OPTIONAL_KEYS}
    return PromptRow(prompt, **optional)


def _text(value: dict[str, Any], key: str, path: Path, number: int) -> str | None:
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        detail = (
            f'{path}, line {number}: expected text under "{key}",'
            f" found {type(found).__name__}"
        )
        raise InvalidDataError(detail, path=str(path), line=number)
    return found
