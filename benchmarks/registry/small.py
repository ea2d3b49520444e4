"""Small requests against MLflow's model registry, on the same PostgreSQL server.

*Resolve* finds the version that a movable name means: our `resolve`, its lookup by
alias. *Version get* describes one version by number. One process each, four kept
connections, no token, the same number of versions.
"""

import json
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

from safegene_client import Registry as Client

from benchmarks.harness import Benchmark
from benchmarks.registry.raw_http import get_many
from benchmarks.registry.servers import Mlflow, Registry
from benchmarks.registry.versions import NAME, NAMESPACE, Versions

REQUESTS = 200
CONNECTIONS = 4
VERSIONS = 10


def fill_ours(registry: Registry, versions: Versions, cache: Path) -> dict[str, str]:
    """Publish versions; what to ask, by kind."""
    with Client(registry.url, token=registry.token, cache=cache) as client:
        for _ in range(VERSIONS):
            directory, manifest = versions.write()
            client.publish(directory)
    vector = f"/v1/vectors/{NAMESPACE}/{NAME}"
    return {
        "resolve": f"{vector}/resolve",
        "version get": f"{vector}/versions/{manifest.version}",
    }


def fill_theirs(server: Mlflow) -> dict[str, str]:
    """Register versions and an alias; what to ask, by kind."""
    api = "/api/2.0/mlflow"
    post(server.url, f"{api}/registered-models/create", name=NAME)
    for _ in range(VERSIONS):
        source = "s3://bench/random"
        post(server.url, f"{api}/model-versions/create", name=NAME, source=source)
    last = str(VERSIONS)
    alias = f"{api}/registered-models/alias"
    post(server.url, alias, name=NAME, alias="stable", version=last)
    return {
        "resolve": f"{alias}?name={NAME}&alias=stable",
        "version get": f"{api}/model-versions/get?name={NAME}&version={last}",
    }


def post(url: str, path: str, **values: str) -> None:
    """POST a JSON object.

    Raises:
        HTTPError: it was refused.
    """
    request = urllib.request.Request(  # noqa: S310 - a server of our own
        f"{url}{path}",
        data=json.dumps(values).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - likewise
        answer.read()


def compare(
    benchmark: Benchmark,
    registry: Registry,
    mlflow: Mlflow,
    versions: Versions,
    rounds: int,
) -> None:
    """Measure both, and record the lesser of the two ratios."""
    asked = {
        "safegene": (registry.url, fill_ours(registry, versions, versions.place)),
        "mlflow": (mlflow.url, fill_theirs(mlflow)),
    }
    cases: dict[str, Callable[[], object]] = {
        f"{who} {kind}": partial(
            get_many, url, [target] * REQUESTS, connections=CONNECTIONS
        )
        for who, (url, targets) in asked.items()
        for kind, target in targets.items()
    }
    benchmark.measure(cases, rounds=rounds)
    found = [
        benchmark.compare(f"{kind} vs mlflow", f"mlflow {kind}", f"safegene {kind}")
        for kind in ("resolve", "version get")
    ]
    benchmark.ratios["small_requests_vs_mlflow"] = min(
        found, key=lambda each: each.median
    )
