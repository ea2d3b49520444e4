"""The shorter way says what the longer one says, and refuses nothing itself."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
from safegene_registry import membership
from safegene_registry.access import Visibility
from safegene_registry.limits import RateLimiter
from sqlalchemy import event
from support.registry_app import app_registry
from support.versions import llama_config, write_version

from safegene.artifact.manifest import TENSORS_NAME

VECTOR = "/v1/vectors/acme/refusal"
FILE = f"{VECTOR}/versions/1.10.0/files/{TENSORS_NAME}"
TARGETS = {
    "version": f"{VECTOR}/versions/1.10.0",
    "version in another spelling": f"{VECTOR}/versions/1.10",
    "newest": f"{VECTOR}/resolve",
    "latest": f"{VECTOR}/resolve?alias=latest",
    "file": FILE,
}
LEFT = {
    "range of versions": (200, f"{VECTOR}/resolve?constraint=~=1.2"),
    "no such alias": (404, f"{VECTOR}/resolve?alias=stable"),
    "no such version": (404, f"{VECTOR}/versions/3.0"),
    "no version": (422, f"{VECTOR}/versions/three"),
    "no such file": (404, f"{VECTOR}/versions/1.10.0/files/other"),
    "no such vector": (404, "/v1/vectors/acme/other/resolve"),
    "no name": (422, "/v1/vectors/acme/-/resolve"),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory, module_parts):
    """Two families; the newest version is the first one's, neither first nor last."""
    root = tmp_path_factory.mktemp("served")
    wide = llama_config(hidden=64)
    versions = (("1.2.0", None), ("1.10.0", None), ("1.9.0", wide))
    with app_registry(root / "data", **module_parts) as registry:
        for seed, (version, config) in enumerate(versions):
            manifest = write_version(
                root / version, version=version, seed=seed, config=config
            )
            assert registry.publish(manifest, root / version).status_code == 201
        yield registry


@contextmanager
def counted(registry):
    """The SELECTs of what is inside."""
    engine, selects = registry.services.database.engine, []

    def note(*args):
        if args[2].startswith("SELECT"):
            selects.append(args[2])

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield selects
    finally:
        event.remove(engine, "before_cursor_execute", note)


def telling(answer):
    """What must be alike, whichever way was taken."""
    # The last two are names that an object store gives a request.
    told = {"date", "x-request-id", "x-amz-request-id", "x-amz-id-2"}
    headers = {name: text for name, text in answer.headers.items() if name not in told}
    return answer.status_code, headers, answer.content


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_one_statement_says_what_the_route_says(served, target):
    with counted(served) as selects:
        shorter = served.client.get(target)
    with counted(served) as others:
        longer = served.client.get(target, headers=served.auth)

    assert telling(shorter) == telling(longer)
    assert shorter.status_code == 200
    assert (len(selects), len(others) > 1) == (1, True)


def test_it_is_counted_under_the_same_route(served):
    name = "safegene_registry_requests_total"
    labels = {"method": "GET", "status": "200"}
    labels["route"] = "/v1/vectors/{namespace}/{name}/versions/{version}"
    numbers = served.app.state.metrics.registry
    before = numbers.get_sample_value(name, labels) or 0

    for headers in ({}, served.auth):
        served.client.get(TARGETS["version"], headers=headers)

    assert numbers.get_sample_value(name, labels) == before + 2


@pytest.mark.parametrize(("status", "target"), LEFT.values(), ids=LEFT)
def test_what_it_cannot_answer_is_left_to_the_route(served, status, target):
    alone = served.client.get(target)
    longer = served.client.get(target, headers=served.auth)

    assert (alone.status_code, longer.status_code) == (status, status)
    if status != 200:
        assert alone.json()["detail"] == longer.json()["detail"]


def test_the_newest_of_all_families_is_the_newest(served):
    assert served.client.get(f"{VECTOR}/resolve").json()["version"] == "1.10.0"


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_nothing_is_read_that_is_private(registry, tmp_path, target):
    manifest = write_version(tmp_path / "v", version="1.10.0")
    assert registry.publish(manifest, tmp_path / "v").status_code == 201
    assert registry.client.get(target).status_code == 200

    with registry.services.database.writing() as session:
        membership.set_visibility(session, "acme", Visibility.PRIVATE, by="tests")

    assert registry.client.get(target).status_code == 404
    assert registry.client.get(target, headers=registry.auth).status_code == 200


class NotingLimiter(RateLimiter):
    """Remembers whom it counted, and refuses on demand."""

    def __init__(self):
        super().__init__(None)
        self.counted = []
        self.seconds = None

    def take(self, caller):
        self.counted.append(caller)
        return self.seconds


@pytest.mark.parametrize("target", [TARGETS["version"], LEFT["no such version"][1]])
def test_a_request_is_counted_once_whichever_way_it_takes(registry, tmp_path, target):
    manifest = write_version(tmp_path / "v", version="1.10.0")
    assert registry.publish(manifest, tmp_path / "v").status_code == 201
    limiter = NotingLimiter()
    registry.app.state.services = replace(registry.services, limiter=limiter)

    registry.client.get(target)
    limiter.seconds = 7
    refused = registry.client.get(target)

    assert len(limiter.counted) == 2
    assert len(set(limiter.counted)) == 1
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
