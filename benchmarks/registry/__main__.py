"""`make bench-registry`: the registry against boto3, nginx and MLflow's model registry.

Starts PostgreSQL, an S3 server, nginx and MLflow (installed once, 1 GB) below
`build/bench`, and stops them. Ratios are our throughput over theirs.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.harness import OUT, Benchmark
from benchmarks.registry import downloads, small, transfers
from benchmarks.registry.servers import Mlflow, Nginx, Registry, running
from benchmarks.registry.versions import LARGE, RANK, SMALL, Versions
from scripts.services import manage

ROUNDS = {"publish": 5, "pull": 7, "downloads": 15, "small": 9}
"""Of each part."""

DATABASES = ("safegene", "small", "mlflow")
TARGETS = {
    "publish_vs_boto3": 0.9,
    "pull_vs_boto3": 0.9,
    "embedded_pull_vs_nginx": 0.7,
    "small_requests_vs_mlflow": 5.0,
}
"""What each ratio should be at least."""


class Servers:
    """PostgreSQL and the S3 server.

    Args:
        place: where both are.
    """

    def __init__(self, place: Path) -> None:
        postgres = manage.service("postgres", place).environment()
        self.s3 = manage.service("seaweedfs", place).environment()
        self.url = postgres["SAFEGENE_TEST_DATABASE_URL"]
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in DATABASES:
                connection.execute(f"CREATE DATABASE {name}".encode())

    def database(self, name: str) -> str:
        """URL of one of the databases."""
        return f"{self.url.rpartition('/')[0]}/{name}"

    def settings(self) -> dict[str, str]:
        """Of a registry on both servers."""
        settings = {
            "DATABASE_URL": self.database("safegene"),
            "S3_BUCKET": transfers.BUCKET,
            "S3_ENDPOINT_URL": self.s3["SAFEGENE_TEST_S3_ENDPOINT"],
            "S3_ACCESS_KEY_ID": self.s3["AWS_ACCESS_KEY_ID"],
            "S3_SECRET_ACCESS_KEY": self.s3["AWS_SECRET_ACCESS_KEY"],
        }
        return {f"SAFEGENE_REGISTRY_{name}": text for name, text in settings.items()}


@contextmanager
def both_servers(place: Path) -> Iterator[Servers]:
    """Both servers, from nothing, for as long as the context."""
    names = ["postgres", "seaweedfs"]
    manage.down(names, place, wipe=True)
    manage.up(names, place)
    try:
        yield Servers(place)
    finally:
        manage.down(names, place, wipe=True)


def run_publish(
    benchmark: Benchmark, place: Path, servers: Servers, rounds: int
) -> None:
    """Publishing against boto3."""
    with transferring(place, servers) as (ours, peer):
        transfers.compare_publishing(benchmark, ours, peer, rounds)


def run_pull(benchmark: Benchmark, place: Path, servers: Servers, rounds: int) -> None:
    """Pulling against boto3."""
    with transferring(place, servers) as (ours, peer):
        transfers.compare_pulling(benchmark, ours, peer, rounds)


@contextmanager
def transferring(
    place: Path, servers: Servers
) -> Iterator[tuple[transfers.Ours, transfers.Peer]]:
    """Both sides, on one S3 server."""
    client = transfers.s3_client(servers.s3)
    transfers.make_buckets(client)
    registry = Registry(place / "shared", servers.settings())
    versions = Versions(place / "versions", LARGE)
    with running(registry):
        ours = transfers.Ours(place, registry.url, registry.token, versions)
        try:
            yield ours, transfers.transfer_versions(place, versions, client)
        finally:
            ours.registry.close()
            client.close()


def run_downloads(
    benchmark: Benchmark, place: Path, _servers: Servers, rounds: int
) -> None:
    """Downloads against nginx."""
    registry = Registry(place / "embedded")
    nginx = Nginx(place / "nginx", registry.data / "blobs" / "sha256")
    with running(registry, nginx):
        versions = Versions(place / "embedded-versions", LARGE)
        downloads.compare(benchmark, registry, nginx, versions, rounds)


def run_small(benchmark: Benchmark, place: Path, servers: Servers, rounds: int) -> None:
    """Small requests against MLflow."""
    database = {"SAFEGENE_REGISTRY_DATABASE_URL": servers.database("small")}
    registry = Registry(place / "small", database)
    mlflow = Mlflow(place / "mlflow", servers.database("mlflow"))
    with running(registry, mlflow):
        versions = Versions(place / "small-versions", SMALL)
        small.compare(benchmark, registry, mlflow, versions, rounds)


def run(place: Path, parts: Sequence[str], rounds: int | None) -> None:
    """Measure and write."""
    benchmark = Benchmark(
        "registry",
        "How fast is the registry beside bare boto3, nginx and MLflow?",
        {"rank": RANK, "model": LARGE, "parts": list(parts), "targets": TARGETS},
    )
    runs = {
        "publish": run_publish,
        "pull": run_pull,
        "downloads": run_downloads,
        "small": run_small,
    }
    with both_servers(place / "services") as servers:
        for part in parts:
            runs[part](benchmark, place, servers, rounds or ROUNDS[part])
    benchmark.finish(summary(benchmark))


def summary(benchmark: Benchmark) -> str:
    """Each ratio beside its target."""
    told = [
        f"{name} {found} (wanted {TARGETS[name]:g}:"
        f" {'met' if found.median >= TARGETS[name] else 'not met'})"
        for name, found in benchmark.ratios.items()
        if name in TARGETS
    ]
    return f"Throughput, ours over theirs: {'; '.join(told)}."


def main() -> None:
    """Run all of it, or parts."""
    parser = argparse.ArgumentParser(prog="benchmarks.registry", description=__doc__)
    parser.add_argument("--only", choices=ROUNDS, action="append", help="parts to run")
    parser.add_argument("--rounds", type=int, help="of each part, where time is short")
    options = parser.parse_args()
    # Below build and not in /tmp, which may be in memory; too large to be kept.
    place = OUT / "registry-run"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        run(place, options.only or list(ROUNDS), options.rounds)
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
