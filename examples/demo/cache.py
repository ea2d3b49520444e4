"""Results of slow steps, kept under the digest of everything they depend on.

A step's key covers its inputs, the source of the code that makes it and the versions of
the libraries that compute it, so a changed recipe, data row or solver is never served
an old result. A result appears under its key only when it is whole.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safegene.artifact.digest import digest_bytes, digest_file

LIBRARIES = ("torch", "transformers", "peft", "safetensors")
TIMING_NAME = "seconds.json"


@dataclass(frozen=True)
class Result:
    """A finished step: where its files are and what it cost when it ran."""

    directory: Path
    key: str
    seconds: float
    reused: bool


class StepCache:
    """Directory of finished steps, `<root>/<step>-<key>`.

    Args:
        root: where results are kept.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._libraries = {name: version(name) for name in LIBRARIES}

    def run(
        self, step: str, inputs: Mapping[str, Any], build: Callable[[Path], None]
    ) -> Result:
        """Return the step's result, building it into a new directory when needed."""
        key = self.key(step, inputs)
        directory = self.root / f"{step}-{key}"
        if directory.is_dir():
            seconds = json.loads((directory / TIMING_NAME).read_text())["seconds"]
            return Result(directory, key, seconds, reused=True)
        unfinished = self.root / f".{step}-{key}.{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        start = time.monotonic()
        build(unfinished)
        seconds = round(time.monotonic() - start, 1)
        (unfinished / TIMING_NAME).write_text(json.dumps({"seconds": seconds}))
        try:
            unfinished.rename(directory)
        except OSError:
            # Another process was faster; equal inputs give equal results.
            if not directory.is_dir():
                raise
            shutil.rmtree(unfinished)
        return Result(directory, key, seconds, reused=False)

    def key(self, step: str, inputs: Mapping[str, Any]) -> str:
        """What a step's result is kept under, whether it is there or not."""
        facts = {"step": step, "inputs": inputs, "libraries": self._libraries}
        text = json.dumps(facts, sort_keys=True, default=str)
        return digest_bytes(text.encode()).hex[:16]


def source_digest(*places: Path) -> str:
    """Digest of the Python files at or below `places`, in name order."""
    files = sorted(
        file
        for place in places
        for file in ([place] if place.is_file() else place.rglob("*.py"))
    )
    listing = "\n".join(f"{file.name} {digest_file(file)[0]}" for file in files)
    return str(digest_bytes(listing.encode()))
