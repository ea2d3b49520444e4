"""Runs the installed `safegene` command as people do: in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("safegene")
WAIT_SECONDS = 240


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True)
class SafegeneCommand:
    """The command with its environment."""

    directory: Path
    """Where it runs."""
    environment: Mapping[str, str]

    def start(self, *arguments: Any, **options: Any) -> "subprocess.Popen[str]":
        """Start it; the caller waits."""
        return subprocess.Popen(
            [str(COMMAND), *map(str, arguments)],
            cwd=self.directory,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments: Any, **options: Any) -> Ended:
        """Run it to its end, whatever that is."""
        return finish(self.start(*arguments, **options))

    def must(self, *arguments: Any) -> Any:
        """Run it with `--json`; it has to succeed. The document it prints."""
        ended = self.run(*arguments, "--json")
        if ended.code != 0:
            message = f"safegene {arguments}: {ended.code}\n{ended.out}\n{ended.err}"
            raise AssertionError(message)
        return ended.document

    def having(self, **changes: str) -> "SafegeneCommand":
        """The command with another environment."""
        return SafegeneCommand(self.directory, {**self.environment, **changes})


def finish(process: "subprocess.Popen[str]") -> Ended:
    """Wait for the end of a started command."""
    try:
        out, err = process.communicate(timeout=WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Ended(process.returncode, out, err)


def command_for(directory: Path, url: str, token: str) -> SafegeneCommand:
    """The command with a registry and a cache below its directory."""
    directory.mkdir(parents=True, exist_ok=True)
    return SafegeneCommand(
        directory,
        {
            "SAFEGENE_URL": url,
            "SAFEGENE_TOKEN": token,
            "SAFEGENE_CACHE": str(directory / "cache"),
        },
    )


def rows_text(rows: Sequence[Mapping[str, str]]) -> str:
    """Prompt rows as JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)
