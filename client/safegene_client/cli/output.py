"""The only place that prints: results on stdout, talk and progress on stderr.

With `--json` stdout carries exactly one JSON document. Without `-v` a command says
nothing but its result; progress shows where stderr is a terminal, or with `-v`.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 160
"""Columns of a table that no terminal shows."""
SECONDS_BETWEEN_LINES = 5.0
"""How often progress is told where there is no terminal to draw a bar."""

Advance = Callable[[int, int], None]
"""Called with what is done and what there is to do."""


class Output:
    """How one command talks.

    Args:
        as_json: one JSON document on stdout instead of text.
        verbose: 0 says nothing but the result, 1 tells steps, 2 logs everything.
    """

    def __init__(self, *, as_json: bool, verbose: int) -> None:
        self._as_json = as_json
        self._verbose = verbose
        self._talk = Console(stderr=True, highlight=False)
        if verbose:
            logging.basicConfig(
                stream=sys.stderr,
                level=logging.DEBUG if verbose > 1 else logging.INFO,
                format="%(levelname)s %(name)s: %(message)s",
            )
            if verbose == 1:
                logging.getLogger("httpx").setLevel(logging.WARNING)

    def result(self, document: Any, *text: str | Table) -> None:
        """Print a command's result: the document with `--json`, else the text."""
        if self._as_json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
            return
        width = None if sys.stdout.isatty() else PLAIN_WIDTH
        console = Console(highlight=False, width=width)
        with console.capture() as captured:
            for part in text:
                _print_text(console, part)
        # Tables pad every line to the full width, which only selections would show.
        lines = (line.rstrip() for line in captured.get().splitlines())
        sys.stdout.write("\n".join(lines) + "\n")

    def line(self, document: Any, text: str) -> None:
        """Print one line of a result that goes on, at once."""
        if self._as_json:
            text = json.dumps(document, ensure_ascii=False)
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def talk(self, *text: str | Table) -> None:
        """Tell something beside the result."""
        for part in text:
            _print_text(self._talk, part)

    def warn(self, text: str) -> None:
        """Tell something that must not be missed."""
        _print_text(self._talk, f"warning: {text}")

    def say(self, text: str) -> None:
        """Tell a step, with `-v`."""
        if self._verbose:
            _print_text(self._talk, text)

    @contextmanager
    def progress(self, label: str) -> Iterator[Advance]:
        """Show how far a long step is."""
        if self._talk.is_terminal:
            with _bar(self._talk) as bar:
                task = bar.add_task(label, total=None)
                yield lambda done, total: bar.update(task, completed=done, total=total)
        else:
            yield self._lines(label)

    @contextmanager
    def stages(self) -> Iterator[Callable[[str, int, int], None]]:
        """Show how far the stages of a long step are."""
        if not self._talk.is_terminal:
            lines: dict[str, Advance] = {}
            yield lambda stage, done, total: lines.setdefault(
                stage, self._lines(stage)
            )(done, total)
            return
        with _bar(self._talk) as bar:
            tasks: dict[str, Any] = {}

            def advance(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bar.add_task(stage, total=None)
                bar.update(tasks[stage], completed=done, total=total)

            yield advance

    def _lines(self, label: str) -> Advance:
        told = 0.0

        def advance(done: int, total: int) -> None:
            nonlocal told
            now = time.monotonic()
            if done >= total or now - told >= SECONDS_BETWEEN_LINES:
                told = now
                self.say(f"{label}: {done} of {total}")

        return advance


def print_error(text: str) -> None:
    """Tell why a command failed."""
    print_talk(f"error: {text}")


def print_talk(text: str) -> None:
    """Tell something on stderr."""
    _print_text(Console(stderr=True, highlight=False), text)


def print_traceback() -> None:
    """Show where the exception being handled came from."""
    Console(stderr=True).print_exception()


def print_document(document: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def table(*headings: str, rows: Sequence[Sequence[str]]) -> Table:
    """A plain table; cells are text, never markup."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        found.add_column(heading, overflow="fold")
    for row in rows:
        found.add_row(*[Text(cell) for cell in row])
    return found


def used_columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table without the columns that say nothing in any row."""
    used = [at for at, cells in enumerate(zip(*rows, strict=True)) if any(cells)]
    return table(
        *(headings[at] for at in used),
        rows=[[row[at] for at in used] for row in rows],
    )


def facts(pairs: Sequence[tuple[str, str]]) -> Table:
    """Names and values, one pair a line."""
    found = Table(box=None, pad_edge=False, show_header=False)
    found.add_column()
    found.add_column(overflow="fold")
    for name, value in pairs:
        found.add_row(Text(name), Text(value))
    return found


def size_text(size: int) -> str:
    """A size as people read it."""
    value = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - decimal units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _print_text(console: Console, part: str | Table) -> None:
    """Print a part; foreign strings are never read as markup, nor cut into lines."""
    if isinstance(part, str):
        console.print(Text(part), soft_wrap=True)
    else:
        console.print(part)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
