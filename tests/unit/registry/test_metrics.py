"""`/metrics`: who may read it, what it counts, and that its labels stay few."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.registry_app import AppRegistry, app_registry, bearer
from support.sources import ROOT
from support.versions import write_version

from safegene.artifact.manifest import TENSORS_NAME

TOKEN = "m" * 32


@pytest.fixture
def registry(tmp_path, parts):
    settings = {**parts, "metrics_token": TOKEN}
    with app_registry(tmp_path / "data", **settings) as running:
        yield running


def samples(registry: AppRegistry) -> dict[tuple[str, frozenset], float]:
    answer = registry.client.get("/metrics", headers=bearer(TOKEN))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found, name, **labels):
    return found.get((f"safegene_registry_{name}", frozenset(labels.items())), 0.0)


def test_without_a_token_set_there_are_no_metrics(tmp_path):
    with app_registry(tmp_path / "data") as registry:
        answer = registry.client.get("/metrics", headers=bearer(TOKEN))

    assert answer.status_code == 404
    assert answer.json()["type"].endswith("/problems/not-found")


@pytest.mark.parametrize("headers", [{}, bearer("m" * 31), {"Authorization": TOKEN}])
def test_strangers_see_nothing(registry, headers):
    answer = registry.client.get("/metrics", headers=headers)

    assert answer.status_code == 401
    assert "safegene_registry_requests" not in answer.text


def test_a_publishers_token_does_not_open_them(registry):
    assert registry.client.get("/metrics", headers=registry.auth).status_code == 401


def test_requests_are_counted_by_route_method_and_status(registry):
    for name in ("one", "two"):
        registry.client.get(f"/v1/vectors/acme/{name}")

    found = samples(registry)

    route = {"route": "/v1/vectors/{namespace}/{name}", "method": "GET"}
    assert value(found, "requests_total", **route, status="404") == 2
    assert value(found, "request_duration_seconds_count", **route) == 2
    assert value(found, "request_duration_seconds_sum", **route) > 0


def test_publications_and_bytes_are_counted(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    entry = manifest.file(TENSORS_NAME)
    registry.publish(manifest, tmp_path / "v")
    url = f"/v1/vectors/acme/refusal/versions/1.0.0/files/{TENSORS_NAME}"
    registry.client.get(url)
    # Else they go straight between the caller and the object store.
    passes = registry.services.store.direct is None

    found = samples(registry)

    complete = {"route": "/v1/uploads/{upload_id}/complete", "method": "POST"}
    put = {"route": "/v1/uploads/{upload_id}/blobs/{digest}", "method": "PUT"}
    assert value(found, "requests_total", **complete, status="201") == 1
    received = manifest.size_bytes if passes else 0
    assert value(found, "received_bytes_total", **put) == received
    sent = {
        dict(labels)["route"]: number
        for (name, labels), number in found.items()
        if name == "safegene_registry_sent_bytes_total" and "files" in str(labels)
    }
    assert sum(sent.values()) == (entry.size if passes else 0)


def test_what_callers_make_up_makes_no_new_series(registry):
    def series():
        return {key for key in samples(registry) if "requests" in key[0]}

    registry.client.get("/nowhere")
    registry.client.request("BREW", "/nowhere")
    before = series()
    for number in range(20):
        registry.client.get(f"/nowhere/{number}")
        registry.client.request(f"BREW{number}", "/nowhere")

    added = series() - before

    assert all("/metrics" in str(labels) for _, labels in added)


def test_pools_are_told_with_their_sizes(registry):
    engine = registry.services.database.engine
    with engine.connect():
        found = samples(registry)

    assert value(found, "connections") == engine.pool.size()
    assert value(found, "connections_used") == 1
    assert value(found, "threads") == 40
    assert value(found, "requests_running") == 1  # this one


def test_a_request_that_fails_unforeseen_is_counted(registry):
    @registry.app.get("/breaks")
    def breaks():
        raise RuntimeError

    registry.client.get("/breaks")

    labels = {"route": "/breaks", "method": "GET", "status": "500"}
    assert value(samples(registry), "requests_total", **labels) == 1


def test_the_operators_guide_names_what_there_is_and_only_that(registry):
    """Its table, and the expressions that are worth an alarm."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    watch = page.partition("## Watch")[2]
    registry.client.get("/v1/whoami")
    text = registry.client.get("/metrics", headers=bearer(TOKEN)).text
    families = list(text_string_to_metric_families(text))
    prefix = "safegene_registry_"

    table = watch.partition(f"| of `{prefix}` |")[2].partition("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    told = {name for cell in first for name in re.findall(r"`(\w+)", cell)}
    labels = dict(re.findall(r"`(\w+)\{([\w,]+)\}`", table))
    used = set(re.findall(rf"{prefix}(\w+)", watch))
    names = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
        # The client library's own, of when each series began.
        if not family.name.endswith("_created")
    }
    exported = {n.removeprefix(prefix) for n in names if n.startswith(prefix)}
    samples_of = {
        sample.name.removeprefix(prefix)
        for family in families
        for sample in family.samples
    }
    of_one = {
        sample.name.removeprefix(prefix): set(sample.labels)
        for family in families
        for sample in family.samples
    }

    assert told == exported
    assert used <= samples_of
    assert len(used) > 3
    for name, listed in labels.items():
        sample = name if name in of_one else f"{name}_count"
        assert set(listed.split(",")) == of_one[sample]
