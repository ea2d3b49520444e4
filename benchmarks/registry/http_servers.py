"""Which server runs the application best: `python -m benchmarks.registry.http_servers`.

The same embedded registry, one process each, on the servers that are kept up. They are
installed below `build/bench`, and are no part of the project. See ADR 16.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.harness import OUT, Benchmark, tell
from benchmarks.registry.downloads import fetch, publish_one, spans_of
from benchmarks.registry.raw_http import get_many
from benchmarks.registry.servers import Registry, running
from benchmarks.registry.small import CONNECTIONS, REQUESTS
from benchmarks.registry.versions import LARGE, Versions

PACKAGES = ("granian==2.8.7", "hypercorn==0.18.0", "httptools==0.9.0", "uvloop==0.23.0")
HOME = OUT / "http-servers"
APP = "benchmarks.registry.application:app"
UVICORN = ("-m", "uvicorn", APP, "--no-access-log", "--log-level", "warning")
SERVERS = {
    "uvicorn, h11": (*UVICORN, "--http", "h11", "--loop", "asyncio", "--port", "{}"),
    "uvicorn, httptools and uvloop": (
        *(*UVICORN, "--http", "httptools", "--loop", "uvloop"),
        *("--port", "{}"),
    ),
    "granian": (
        *("-m", "granian", "--interface", "asgi", "--workers", "1"),
        *("--no-access-log", "--log-level", "warning", "--port", "{}", APP),
    ),
    "hypercorn": ("-m", "hypercorn", "--bind", "127.0.0.1:{}", APP),
}
"""Arguments of Python; the braces are the port."""

OURS = "uvicorn, zero copy"
"""What `safegene-registry serve` runs."""


class Served(Registry):
    """The registry on another server, with the data of the first.

    Args:
        directory: made if need be.
        of: whose data it serves.
        arguments: of Python.
    """

    def __init__(
        self, directory: Path, of: Registry, arguments: tuple[str, ...]
    ) -> None:
        super().__init__(directory, {"SAFEGENE_REGISTRY_DATA": str(of.data)})
        self.arguments = arguments

    def launch(self) -> None:
        """Start it."""
        port = self.state["port"]
        arguments = [each.format(port) for each in self.arguments]
        path = f"{self.small_environment()['PYTHONPATH']}:{HOME}"
        environment = {**self.settings, "PYTHONPATH": path}
        self.spawn("server", [sys.executable, *arguments], **environment)


def install() -> None:
    """Get the servers, once."""
    done = HOME / ".installed"
    if done.exists() and done.read_text(encoding="utf-8") == str(PACKAGES):
        return
    tell(f"installing {', '.join(PACKAGES)} into {HOME}")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    shutil.rmtree(HOME, ignore_errors=True)
    subprocess.run([*pip, "--quiet", "--target", str(HOME), *PACKAGES], check=True)
    done.write_text(str(PACKAGES), encoding="utf-8")


def compare(benchmark: Benchmark, place: Path, rounds: int) -> None:
    """Measure small requests, a whole file and ranges of it on every server."""
    own = Registry(place / "own")
    with running(own):
        target, entry = publish_one(own, Versions(place / "versions", LARGE))
        others = {
            name: Served(place / f"server{number}", own, arguments)
            for number, (name, arguments) in enumerate(SERVERS.items())
        }
        with running(*others.values()):
            small = [target.partition("/files/")[0]] * REQUESTS
            for kind, spans in (
                ("small requests", None),
                ("whole file", [None]),
                ("ranges", spans_of(entry)),
            ):
                cases: dict[str, Callable[[], object]] = {}
                for name, server in {OURS: own, **others}.items():
                    label = f"{kind}: {name}"
                    if spans is None:
                        cases[label] = partial(
                            get_many, server.url, small, connections=CONNECTIONS
                        )
                        continue
                    cases[label] = partial(fetch, server.url, target, spans)
                benchmark.measure(cases, rounds=rounds)
                for name in others:
                    label = f"{kind}: {name} / {OURS}"
                    benchmark.compare(label, f"{kind}: {OURS}", f"{kind}: {name}")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each kind")
    options = parser.parse_args()
    install()
    place = OUT / "http-servers-run"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    benchmark = Benchmark(
        "registry-http-servers",
        "Which server runs the registry's application best?",
        {"packages": PACKAGES},
    )
    try:
        compare(benchmark, place, options.rounds)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    benchmark.finish(f"Throughput over that of {OURS}: see the ratios.")


if __name__ == "__main__":
    main()
