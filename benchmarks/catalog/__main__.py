"""`make bench-catalog`: does a look-up cost the same in a large catalog?

Catalogs of 10^3 to 10^6 versions of 5 000 families in PostgreSQL, and of 10^5 in
SQLite, loaded in bulk; then the same search beside MLflow's at 10^4. Catalogs are kept
in `build/bench/catalog-run` until `--clean`, so that a run that was cut off goes on.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psycopg
from safegene_registry.settings import Settings

from benchmarks.catalog.asking import (
    FACETS,
    KINDS,
    LIMIT,
    Asked,
    asked,
    percentile,
)
from benchmarks.catalog.contents import FAMILIES
from benchmarks.catalog.filling import fill_postgresql, fill_sqlite
from benchmarks.catalog.peer import OURS, fill_mlflow, theirs
from benchmarks.catalog.plot import write_plot
from benchmarks.harness import OUT, Benchmark, Spread, tell
from benchmarks.registry.raw_http import get_many
from benchmarks.registry.servers import Mlflow, Registry, running
from scripts.services import manage

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SQLITE = 100_000
PEER = 10_000
ROUNDS, QUESTIONS = 10, 100
"""Of each kind and catalog: rounds, and questions in one."""

REQUESTS, CONNECTIONS, PEER_ROUNDS = 100, 4, 7
TARGETS = {
    "p50_1e6_vs_1e3": 1.5,
    "p99_1e6_vs_1e3": 2.0,
    "throughput_vs_mlflow_search": 5.0,
}
"""At most, at most, at least."""

PLACE = OUT / "catalog-run"


@contextmanager
def postgresql(place: Path) -> Iterator[str]:
    """The server, with what an earlier run has left in it; its URL."""
    manage.up(["postgres"], place)
    try:
        environment = manage.service("postgres", place).environment()
        yield environment["SAFEGENE_TEST_DATABASE_URL"]
    finally:
        manage.down(["postgres"], place)


def measure(
    benchmark: Benchmark, catalogs: Sequence[Asked], rounds: int, questions: int
) -> dict[tuple[str, str], list[list[float]]]:
    """Seconds of every question, by catalog and kind, round by round.

    Catalogs take turns, so that what disturbs the machine disturbs all alike. The first
    round warms up and does not count.
    """
    taken: dict[tuple[str, str], list[list[float]]] = {
        (catalog.name, kind): [] for catalog in catalogs for kind in KINDS
    }
    for number in range(-1, rounds):
        tell(f"round {number + 1}/{rounds}")
        start = number % len(catalogs)
        for kind in KINDS:
            for catalog in (*catalogs[start:], *catalogs[:start]):
                found = [catalog.ask(kind) for _ in range(questions)]
                if number >= 0:
                    taken[catalog.name, kind].append(found)
    for catalog in catalogs:
        for kind in KINDS:
            count = catalog.statements(kind)
            benchmark.figures[f"{catalog.name} {kind}, statements"] = count
    return taken


def record(
    benchmark: Benchmark, taken: dict[tuple[str, str], list[list[float]]]
) -> None:
    """Write p50 and p99 down, in milliseconds."""
    for (name, kind), rounds in taken.items():
        every = [seconds for found in rounds for seconds in found]
        benchmark.seconds[f"{name} {kind}"] = Spread.of(every)
        for share in (50, 99):
            cost = 1000 * percentile(every, share / 100)
            benchmark.figures[f"{name} {kind}, p{share} ms"] = round(cost, 3)


def compare_sizes(
    benchmark: Benchmark,
    taken: dict[tuple[str, str], list[list[float]]],
    small: str,
    large: str,
) -> None:
    """How much more each kind costs in the larger catalog; the worst one counts."""
    for share, goal in ((0.5, "p50_1e6_vs_1e3"), (0.99, "p99_1e6_vs_1e3")):
        found = {
            kind: Spread.of(
                [
                    percentile(ours, share) / percentile(base, share)
                    for ours, base in zip(
                        taken[large, kind], taken[small, kind], strict=True
                    )
                ]
            )
            for kind in KINDS
        }
        for kind, spread in found.items():
            benchmark.ratios[f"{kind}, {goal[:3]} {large} vs {small}"] = spread
        if (small, large) == (title(SIZES[0]), title(SIZES[-1])):
            benchmark.ratios[goal] = max(found.values(), key=lambda each: each.median)


def compare_mlflow(
    benchmark: Benchmark, place: Path, server: str, ours: str, rounds: int
) -> None:
    """The same search over HTTP, one process each, in requests a second."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS mlflow")
        connection.execute("CREATE DATABASE mlflow")
    url = f"{server.rpartition('/')[0]}/mlflow"
    registry = Registry(place / "ours", {"SAFEGENE_REGISTRY_DATABASE_URL": ours})
    mlflow = Mlflow(place / "theirs", url)
    with running(registry, mlflow):
        fill_mlflow(url, PEER)
        benchmark.measure(
            {
                "safegene search": partial(
                    get_many,
                    registry.url,
                    [OURS] * REQUESTS,
                    connections=CONNECTIONS,
                ),
                "mlflow search": partial(
                    get_many,
                    mlflow.url,
                    [theirs()] * REQUESTS,
                    connections=CONNECTIONS,
                ),
            },
            rounds=rounds,
        )
    benchmark.compare("throughput_vs_mlflow_search", "mlflow search", "safegene search")


def title(versions: int, kind: str = "postgresql") -> str:
    """What a catalog is called."""
    return f"{kind} 1e{len(str(versions)) - 1}"


def run(options: argparse.Namespace) -> None:
    """Fill, measure and write."""
    benchmark = Benchmark(
        "catalog",
        "Does a look-up cost the same in a large catalog?",
        {
            "families": FAMILIES,
            "sizes": options.sizes,
            "sqlite": options.sqlite,
            "page": LIMIT,
            "facets": FACETS,
            "questions": options.questions * options.rounds,
            "targets": TARGETS,
        },
    )
    with postgresql(PLACE / "services") as server, ExitStack() as stack:
        urls = {}
        for versions in dict.fromkeys((*options.sizes, PEER)):
            tell(f"filling PostgreSQL with {versions} versions")
            name = f"catalog_{versions}"
            urls[versions] = fill_postgresql(server, name, versions)
        settings = {
            (title(versions), versions): Settings(
                data=PLACE / "data", database_url=urls[versions]
            )
            for versions in options.sizes
        }
        for versions in options.sqlite:
            tell(f"filling SQLite with {versions} versions")
            data = fill_sqlite(PLACE / f"sqlite-{versions}", versions)
            settings[title(versions, "sqlite"), versions] = Settings(data=data)
        if not options.peer_only:
            catalogs = [
                stack.enter_context(asked(name, versions, each))
                for (name, versions), each in settings.items()
            ]
            taken = measure(benchmark, catalogs, options.rounds, options.questions)
            record(benchmark, taken)
            names = [title(versions) for versions in sorted(options.sizes)]
            compare_sizes(benchmark, taken, names[0], names[-1])
            plot(benchmark, options.sizes)
        stack.close()
        if not options.no_peer:
            compare_mlflow(benchmark, PLACE, server, urls[PEER], options.peer_rounds)
    benchmark.finish(summary(benchmark))


def plot(benchmark: Benchmark, sizes: Sequence[int]) -> None:
    """Draw p50 against size."""
    series = {
        kind: {
            versions: benchmark.figures[f"{title(versions)} {kind}, p50 ms"]
            for versions in sizes
        }
        for kind in KINDS
    }
    write_plot(series, OUT / "catalog" / "cost.svg")


def summary(benchmark: Benchmark) -> str:
    """Each ratio beside its target."""
    told = []
    for name, target in TARGETS.items():
        found = benchmark.ratios.get(name)
        if found is None:
            continue
        least = name.startswith("throughput")
        met = found.median >= target if least else found.median <= target
        word = "at least" if least else "at most"
        verdict = "met" if met else "not met"
        told.append(f"{name} {found} (wanted {word} {target:g}: {verdict})")
    return f"The worst kind of question counts. {'; '.join(told) or 'Part of it ran'}."


def main() -> None:
    """Run all of it, or a smaller one."""
    parser = argparse.ArgumentParser(prog="benchmarks.catalog", description=__doc__)
    add = partial(parser.add_argument, type=int)
    add("--sizes", nargs="+", default=list(SIZES), help="versions, in PostgreSQL")
    add("--sqlite", nargs="*", default=[SQLITE], help="the same in SQLite")
    add("--rounds", default=ROUNDS)
    add("--questions", default=QUESTIONS, help="of each kind, in a round")
    add("--peer-rounds", default=PEER_ROUNDS)
    parser.add_argument("--no-peer", action="store_true", help="without MLflow")
    parser.add_argument("--peer-only", action="store_true", help="MLflow alone")
    parser.add_argument("--clean", action="store_true", help="remove the catalogs")
    options = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    if options.clean:
        manage.down(["postgres"], PLACE / "services", wipe=True)
        shutil.rmtree(PLACE)
        return
    run(options)


if __name__ == "__main__":
    main()
