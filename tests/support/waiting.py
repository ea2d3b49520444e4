"""Waiting for what comes about by itself, in another thread or process."""

import time
from collections.abc import Callable

SECONDS = 60.0
"""Far longer than anything takes that is waited for, on a machine that is shared."""


def wait_until(
    condition: Callable[[], object], *, seconds: float = SECONDS, pause: float = 0.02
) -> None:
    """Ask again and again until something is so, and fail if it never is.

    Args:
        condition: asked; may raise what ends the waiting.
        seconds: after which it fails.
        pause: seconds between two questions.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds:g} seconds"
        time.sleep(pause)
