"""Times named cases against each other and writes what came out.

Cases run interleaved, round by round, in an order that turns: what disturbs the
machine disturbs all of them alike. A speed is told as the ratio of two cases within one
round, as the median over rounds with the quartiles around it, never as seconds alone.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "bench"
PACKAGES = ("torch", "transformers", "peft", "safetensors", "numpy")

Case = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarize at least one value.

        Raises:
            ValueError: there is none.
        """
        if not values:
            message = "no values to summarize"
            raise ValueError(message)
        if len(values) == 1:
            return cls(values[0], values[0], values[0], tuple(values))
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high, tuple(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


class Benchmark:
    """One benchmark: measures, then prints a table and writes `NAME.json`.

    Args:
        name: of the benchmark and its file.
        question: what it answers, in one sentence.
        settings: sizes and counts, for the file.
    """

    def __init__(self, name: str, question: str, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.question = question
        self.settings = dict(settings)
        self.seconds: dict[str, Spread] = {}
        self.ratios: dict[str, Spread] = {}
        self.figures: dict[str, float] = {}
        """Other measured numbers, such as bytes; the name tells the unit."""
        self.extra: dict[str, Any] = {}
        """More for the file alone, by key."""

    def measure(
        self,
        cases: Mapping[str, Case],
        *,
        rounds: int,
        reset: Case | None = None,
        warm_up: bool = True,
    ) -> None:
        """Time every case once a round.

        Args:
            cases: what to run, by name.
            rounds: how often.
            reset: runs before every case, untimed.
            warm_up: one more round first that does not count.
        """
        times: dict[str, list[float]] = {name: [] for name in cases}
        for number in range(-1 if warm_up else 0, rounds):
            for name in _turned(tuple(cases), number):
                if reset is not None:
                    reset()
                begin = time.perf_counter()
                cases[name]()
                seconds = time.perf_counter() - begin
                tell(f"round {number + 1}/{rounds}  {name}: {seconds:.3f} s")
                if number >= 0:
                    times[name].append(seconds)
        self.seconds |= {name: Spread.of(values) for name, values in times.items()}

    def compare(self, name: str, case: str, peer: str) -> Spread:
        """Record how many times as long `case` takes as `peer`, round by round."""
        pairs = zip(self.seconds[case].values, self.seconds[peer].values, strict=True)
        self.ratios[name] = Spread.of([ours / theirs for ours, theirs in pairs])
        return self.ratios[name]

    def document(self, summary: str | Mapping[str, Any]) -> dict[str, Any]:
        """Everything, as it is written."""
        return {
            "benchmark": self.name,
            "question": self.question,
            "summary": summary,
            "ratios": {name: vars(found) for name, found in self.ratios.items()},
            "seconds": {name: vars(found) for name, found in self.seconds.items()},
            "figures": self.figures,
            **self.extra,
            "settings": self.settings,
            "commit": commit(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(),
        }

    def finish(self, summary: str | Mapping[str, Any], out: Path = OUT) -> Path:
        """Print the table, write the file, return its path.

        Args:
            summary: the answer, in one or two sentences with the figures; or figures
                by name, with the sentences under `text`.
            out: directory to write to.
        """
        path = self.write(summary, out)
        print(f"\n{self.question}\n")
        for line in self.table():
            print(line)
        told = summary if isinstance(summary, str) else summary["text"]
        print(f"\n{told}\n\nwritten to {path}")
        return path

    def write(self, summary: str | Mapping[str, Any], out: Path = OUT) -> Path:
        """Write the file alone, as `finish` does, and return its path."""
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{self.name}.json"
        text = json.dumps(self.document(summary), indent=2, ensure_ascii=False)
        part = path.with_suffix(".part")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
        return path

    def table(self) -> Iterator[str]:
        """Lines of the table: median and quartiles."""
        rows = [(name, f"{found} s") for name, found in self.seconds.items()]
        rows += [(name, f"{found} x") for name, found in self.ratios.items()]
        rows += [(name, f"{found:.4g}") for name, found in self.figures.items()]
        width = max((len(name) for name, _ in rows), default=0)
        yield f"{'':{width}}  median [quartiles]"
        for name, text in rows:
            yield f"{name:{width}}  {text}"


def _turned(names: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The names, begun at another place every round."""
    start = number % len(names)
    return names[start:] + names[:start]


def tell(line: str) -> None:
    """Show progress on standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def peak_memory(module: str, *arguments: str) -> int:
    """Bytes that a benchmark's part needs at most, above what it starts with.

    The part runs in a process of its own, `python -m MODULE ARGUMENTS`, and prints them
    with `print_own_peak`.

    Raises:
        CalledProcessError: the part failed.
    """
    command = [sys.executable, "-m", module, *arguments]
    tell(f"memory of {' '.join(arguments)}")
    ended = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return int(ended.stdout.split()[-1])


@dataclass
class Peak:
    """How far a block raised the process's memory."""

    size: int = 0
    """Bytes, known when the block has ended."""


@contextmanager
def watch_peak() -> Iterator[Peak]:
    """Measure how far the block raises this process's peak of resident memory."""
    # Writing 5 sets the kernel's high-water mark back to what is resident now.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _peak()
    peak = Peak()
    yield peak
    peak.size = _peak() - before


@contextmanager
def print_own_peak() -> Iterator[None]:
    """Print how far the block raised this process's peak of resident memory, in bytes.

    Call it after the imports and before anything large is loaded.
    """
    with watch_peak() as peak:
        yield
    print(peak.size)


def _peak() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    message = "this kernel does not tell a process's peak memory"
    raise OSError(message)


def commit(checkout: Path = ROOT) -> str:
    """The checkout's commit, marked when files differ from it; else `unknown`."""
    # No tag is a candidate: it would take the place of the commit, and tags move.
    options = ["--always", "--abbrev=40", "--dirty", "--exclude=*"]
    command = ["git", "-C", str(checkout), "describe", *options]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return ended.stdout.strip()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if "model name" in line)
    return next(names, platform.machine())


def versions() -> dict[str, str]:
    """Versions of Python, SafeGene and the peers."""
    found = {"python": platform.python_version()}
    for name in ("safegene", *PACKAGES):
        # A source tree may be measured where it is not installed.
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
