"""`/healthz` and `/readyz`: what each asks, and that asking often costs little."""

import asyncio
import errno
import os
import shutil
import threading

import pytest
from safegene_registry.readiness import Probe
from sqlalchemy import text
from support.full_disk import small_disk
from support.registry_app import app_registry
from support.versions import write_version


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


def test_a_disk_that_is_full_is_named_until_there_is_room(tmp_path, monkeypatch):
    """What is published can still be read, and the process is alive."""
    monkeypatch.setattr("safegene_registry.readiness.KEEP_SECONDS", 0)
    manifest = write_version(tmp_path / "v")
    with (
        small_disk(tmp_path / "small", "16m") as disk,
        app_registry(disk.place / "data") as registry,
    ):
        registry.publish(manifest, tmp_path / "v")
        url = "/v1/vectors/acme/refusal/versions/1.0.0/files/README.md"

        with disk.full():
            answer = registry.client.get("/readyz")
            read = registry.client.get(url)
            alive = registry.client.get("/healthz")
        after = registry.client.get("/readyz")
        left = registry.staged_files()

    assert answer.status_code == 503
    assert list(faults(answer)) == ["/parts/store"]
    refused = os.strerror(errno.ENOSPC if disk.is_own else errno.EFBIG)
    assert faults(answer)["/parts/store"] == (
        f"The registry's blob store cannot take bytes: {refused}."
    )
    assert [read.status_code, alive.status_code, after.status_code] == [200] * 3
    assert left == []


def test_a_place_that_takes_no_bytes_is_named(tmp_path, monkeypatch):
    """For whatever reason: here there is something else in its place."""
    monkeypatch.setattr("safegene_registry.readiness.KEEP_SECONDS", 0)
    with app_registry(tmp_path / "data") as registry:
        staging = registry.services.store.staging_root
        staging.rmdir()
        staging.write_text("a file in the way")

        found = faults(registry.client.get("/readyz"))

    assert "cannot take bytes: Not a directory" in found["/parts/store"]


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
