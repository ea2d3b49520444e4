"""What the demo says while it works: one line a step, and progress all the time."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

QUIET_SECONDS = 10.0
"""Least time between progress lines where the output is no terminal."""


class Console:
    """Numbers the steps and shows how far each is.

    Args:
        steps: how many steps there will be.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._number = 0
        self._started = time.monotonic()
        self._shown = 0.0
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """Announce a step and note how long it took."""
        self._number += 1
        self.say(f"\n[{self._number}/{self._steps}] {title}")
        start = self._shown = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 1)
        self.say(f"      done in {self.seconds[name]:.0f} s")

    def say(self, text: str) -> None:
        """Print a line."""
        print(f"\r\033[K{text}" if sys.stdout.isatty() else text, flush=True)

    def progress(self, label: str, done: int, total: int) -> None:
        """Show how far the work is: in place on a terminal, else now and then."""
        now = time.monotonic()
        elapsed = int(now - self._started)
        text = f"      {label} {done}/{total}  ({elapsed // 60}:{elapsed % 60:02d})"
        if sys.stdout.isatty():
            print(f"\r\033[K{text}", end="", flush=True)
        elif now - self._shown >= QUIET_SECONDS:
            self._shown = now
            print(text, flush=True)
