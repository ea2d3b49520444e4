"""`/healthz` and `/readyz`: what each asks, and that asking often costs little."""

import asyncio
import shutil
import threading

import pytest
from safegene_registry.readiness import Probe
from sqlalchemy import text
from support.registry_app import app_registry


def faults(answer):
    return {fault["pointer"]: fault["detail"] for fault in answer.json()["errors"]}


def test_a_whole_registry_is_ready_and_says_what_it_asked(registry):
    answer = registry.client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "parts": {"process": "ok", "database": "ok", "store": "ok"},
    }


def test_a_lost_store_is_named_and_the_process_is_alive_all_the_same(registry):
    store = registry.services.store
    if store.direct is None:
        shutil.rmtree(registry.data / "blobs")
    else:
        store.bucket.name = "no-such-bucket-of-ours"

    answer = registry.client.get("/readyz")

    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["type"].endswith("/problems/not-ready")
    assert list(faults(answer)) == ["/parts/store"]
    assert registry.client.get("/healthz").status_code == 200


def test_another_schema_is_named_with_what_to_do(registry):
    with registry.services.database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'other'"))

    found = faults(registry.client.get("/readyz"))

    assert "revision other" in found["/parts/database"]
    assert "install that here, too" in found["/parts/database"]


def test_a_registry_that_drains_is_not_ready(registry):
    registry.app.state.readiness.drain()

    found = faults(registry.client.get("/readyz"))

    assert found == {"/parts/process": "the process is about to stop"}


def test_a_registry_whose_connections_are_all_in_use_is_ready(tmp_path, parts):
    with app_registry(tmp_path / "data", **parts) as registry:
        engine = registry.services.database.engine
        held = [engine.connect() for _ in range(engine.pool.size())]

        answer = registry.client.get("/readyz")

        for connection in held:
            connection.close()
    assert answer.status_code == 200


class Part:
    """Answers when it is allowed to, and counts."""

    def __init__(self):
        self.asked = 0
        self.may_answer = threading.Event()

    def __call__(self):
        self.asked += 1
        assert self.may_answer.wait(30)


def test_a_part_that_hangs_is_asked_once_and_waited_for_once():
    part = Part()
    probe = Probe("part", part, timeout=0.2)

    async def ask():
        first = await asyncio.gather(*(probe.problem() for _ in range(50)))
        async with asyncio.timeout(0.1):
            late = await probe.problem()
        part.may_answer.set()
        return [*first, late]

    found = asyncio.run(ask())

    assert set(found) == {"no answer within 0.2 s"}
    assert part.asked == 1


def test_an_answer_holds_for_a_moment(monkeypatch):
    part = Part()
    part.may_answer.set()
    probe = Probe("part", part, timeout=5)

    async def ask():
        for _ in range(3):
            assert await probe.problem() is None
        at_once = part.asked
        monkeypatch.setattr("safegene_registry.readiness.KEEP_SECONDS", 0)
        assert await probe.problem() is None
        return at_once, part.asked

    assert asyncio.run(ask()) == (1, 2)


def test_a_part_that_fails_unforeseen_is_not_well_and_tells_no_secret():
    def ask():
        raise KeyError("sgt_secret")

    problem = asyncio.run(Probe("part", ask, timeout=5).problem())

    assert problem == "failed; the log has the reason"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_strangers_may_ask(registry, path):
    assert registry.client.get(path).status_code == 200
