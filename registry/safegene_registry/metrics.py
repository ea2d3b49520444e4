"""What the process has done and what it uses, as Prometheus reads it.

Each replica tells its own numbers; Prometheus adds them up. Labels come from what is
written in the program, never from what a caller sends, so their number is bounded: the
route is its template, a method nobody defined is `other`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from anyio import CapacityLimiter
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.pool import QueuePool
from starlette.types import Scope

from safegene import __version__
from safegene_registry.db import Database

PREFIX = "safegene_registry"

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Seconds: from a lookup to the transfer of a large file."""

UNMATCHED = "unmatched"
"""The route of a request for which there is none."""


class Metrics:
    """The numbers of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        of_route = ("route", "method")
        self.requests = self._counter(
            "requests", "Requests that have ended.", (*of_route, "status")
        )
        self.received = self._counter(
            "received_bytes", "Bytes of requests' bodies.", of_route
        )
        self.sent = self._counter("sent_bytes", "Bytes of answers' bodies.", of_route)
        self.durations = Histogram(
            f"{PREFIX}_request_duration_seconds",
            "From a request's head to the end of its answer.",
            of_route,
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.running = Gauge(
            f"{PREFIX}_requests_running",
            "Requests that have not ended.",
            registry=self.registry,
        )
        self.counters: dict[tuple[str, str, int | None], RouteCounters] = {}
        build = Gauge(
            f"{PREFIX}_build", "Always 1.", ("version",), registry=self.registry
        )
        build.labels(__version__).set(1)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def watch(self, database: Database, threads: CapacityLimiter) -> None:
        """Tell from now on what the parts of a running application have in use."""
        self.registry.register(PoolCollector(database, threads))

    def count(
        self,
        scope: Scope,
        *,
        status: int | None,
        seconds: float,
        received: int,
        sent: int,
    ) -> None:
        """Count one request that has ended.

        Args:
            scope: of the request, after it was routed.
            status: of the answer, None if there was none, as when the caller left.
            seconds: that it took.
            received: bytes of its body.
            sent: bytes of the answer's.
        """
        key = (route_of(scope), method_of(scope), status)
        counters = self.counters.get(key)
        if counters is None:
            counters = self.counters[key] = self._counters(*key)
        counters.requests.inc()
        counters.received.inc(received)
        counters.sent.inc(sent)
        counters.durations.observe(seconds)

    def _counters(self, route: str, method: str, status: int | None) -> "RouteCounters":
        return RouteCounters(
            self.requests.labels(route, method, str(status or "none")),
            self.received.labels(route, method),
            self.sent.labels(route, method),
            self.durations.labels(route, method),
        )

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


@dataclass(frozen=True, slots=True)
class RouteCounters:
    """Of requests that are alike: to find them by labels costs more than to count."""

    requests: Counter
    received: Counter
    sent: Counter
    durations: Histogram


class PoolCollector(Collector):
    """Asks the pools when it is asked."""

    def __init__(self, database: Database, threads: CapacityLimiter) -> None:
        self.database = database
        self.threads = threads

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing in advance: asking is cheap, and names are of our own prefix."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What is in use at this moment, and how much there is."""
        pool = self.database.engine.pool
        used, size = 0, 0
        if isinstance(pool, QueuePool):
            used, size = pool.checkedout(), pool.size()
        for name, text, value in (
            ("connections_used", "Database connections in use.", used),
            ("connections", "Database connections that may be in use.", size),
            ("threads_used", "Handlers that run.", self.threads.borrowed_tokens),
            ("threads", "Handlers that may run.", self.threads.total_tokens),
        ):
            yield GaugeMetricFamily(f"{PREFIX}_{name}", text, value=float(value))


def route_of(scope: Scope) -> str:
    """The template of the route that a request took."""
    path: str = getattr(scope.get("route"), "path", UNMATCHED)
    return path


def method_of(scope: Scope) -> str:
    """The method, if it is one that is defined."""
    method: str = scope["method"]
    return method if method in METHODS else "other"
