"""Large versions: verified after the answer, whoever asks learns how that ended."""

import dataclasses
import threading
import time
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from safegene_registry import completion, completion_repository
from safegene_registry.background import Background
from safegene_registry.completion import give_up, take_claim
from safegene_registry.services import utc_now
from safegene_registry.storage import StorageError
from support.completions import SECONDS, GatedStore, look, wait, with_store
from support.registry_app import AppRegistry, app_registry
from support.stores import Faulty
from support.versions import write_version

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import CARD_NAME

VERSION_URL = "/v1/vectors/acme/refusal/versions/1.0.0"


@pytest.fixture
def registry(tmp_path, parts):
    """Verifies everything in the background."""
    settings = {**parts, "background_bytes": 0}
    with app_registry(tmp_path / "data", **settings) as running:
        yield running


def claims(registry: AppRegistry, upload):
    with registry.services.database.reading() as session:
        return completion_repository.find_completion(session, UUID(upload["id"]))


def test_a_version_appears_after_the_answer(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    upload = registry.send(manifest, tmp_path / "v")
    store = GatedStore(registry.services.store)
    with_store(registry, store)

    answer = registry.complete(upload)
    assert store.reading.wait(SECONDS)
    during, seen = look(registry, upload), registry.client.get(VERSION_URL).status_code
    again = registry.complete(upload)
    store.gate.set()
    ended = wait(registry, upload)

    assert answer.status_code == again.status_code == 202
    assert answer.headers["location"] == f"/v1/uploads/{upload['id']}"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["state"] == during["state"] == "completing"
    assert during["blobs"] == []
    assert seen == 404
    assert (ended["state"], ended["problem"]) == ("published", None)
    assert registry.client.get(VERSION_URL).json()["digest"] == str(manifest.digest)
    assert registry.complete(upload).status_code == 200
    assert claims(registry, upload) is None


def test_what_is_wrong_is_told_to_whoever_asks(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    upload = registry.open_upload(manifest.to_bytes()).json()
    card = (tmp_path / "v" / CARD_NAME).read_bytes()
    registry.put_blob(upload, manifest.file(CARD_NAME).digest, card)

    answer = registry.complete(upload)
    told = wait(registry, upload)

    assert answer.status_code == 202
    assert told["state"] == "open"
    assert told["problem"]["type"].endswith("/problems/blob-missing")
    assert told["problem"]["status"] == 409
    assert len(told["problem"]["errors"]) == 3
    assert [blob["state"] for blob in told["blobs"]].count("missing") == 3


def test_once_mended_it_can_be_completed(registry, tmp_path):
    manifest = write_version(tmp_path / "v")
    upload = registry.open_upload(manifest.to_bytes()).json()
    registry.complete(upload)
    told = wait(registry, upload)
    for blob in told["blobs"]:
        path = next(e.path for e in manifest.files if e.digest == blob["digest"])
        registry.send_blob(upload, blob, (tmp_path / "v" / path).read_bytes())

    answer = registry.complete(upload)
    ended = wait(registry, upload)

    assert answer.status_code == 202
    assert (ended["state"], ended["problem"]) == ("published", None)


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        pytest.param(StorageError("gone"), "storage-unavailable", id="foreseen"),
        pytest.param(RuntimeError("secret"), "internal-error", id="not foreseen"),
    ],
)
def test_a_failure_of_the_registry_is_told_as_well(registry, tmp_path, error, slug):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    whole = registry.services.store

    class BrokenStore(Faulty):
        def open(self, digest: Digest, *, start: int = 0):
            raise error

    with_store(registry, BrokenStore(whole))
    registry.complete(upload)
    told = wait(registry, upload)
    with_store(registry, whole)
    registry.complete(upload)

    assert told["problem"]["type"].endswith(f"/problems/{slug}")
    assert "secret" not in str(told)
    assert wait(registry, upload)["state"] == "published"


def renew(registry: AppRegistry, claim: UUID, until: datetime) -> None:
    with registry.services.database.writing() as session:
        completion_repository.renew_completion(session, claim, until)


def test_a_claim_of_a_dead_process_runs_out(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    claim = take_claim(registry.services, UUID(upload["id"]))

    during = look(registry, upload)["state"]
    waiting = registry.complete(upload).status_code
    held = take_claim(registry.services, UUID(upload["id"]))
    renew(registry, claim, utc_now() - timedelta(seconds=1))
    told = look(registry, upload)
    registry.complete(upload)

    assert claim is not None
    assert (during, waiting, held) == ("completing", 202, None)
    assert (told["state"], told["problem"]) == ("open", None)
    assert wait(registry, upload)["state"] == "published"


def test_a_claim_is_kept_while_the_work_goes_on(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(completion, "RENEW_SECONDS", 0.1)
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    store = GatedStore(registry.services.store)
    with_store(registry, store)
    registry.complete(upload)
    assert store.reading.wait(SECONDS)
    first = claims(registry, upload).busy_until

    deadline = time.monotonic() + SECONDS
    while claims(registry, upload).busy_until <= first:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    store.gate.set()

    assert wait(registry, upload)["state"] == "published"


def test_a_run_that_lost_its_claim_says_nothing(registry, tmp_path):
    upload = registry.open_upload(write_version(tmp_path / "v").to_bytes()).json()
    upload_id = UUID(upload["id"])
    lost = take_claim(registry.services, upload_id)
    give_up(registry.services, [lost])
    held = take_claim(registry.services, upload_id)
    with registry.services.database.writing() as session:
        completion_repository.fail_completion(session, lost, {"slug": "x"})
        completion_repository.end_completions(session, [lost])

    found = claims(registry, upload)

    assert found.claim == held
    assert found.problem is None


def test_stopping_gives_the_claims_back(tmp_path, parts):
    """Whoever asks another replica has it begun anew at once."""
    settings = {**parts, "background_bytes": 0}
    with app_registry(tmp_path / "data", **settings) as registry:
        upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
        store = GatedStore(registry.services.store)
        with_store(registry, store)
        registry.complete(upload)
        assert store.reading.wait(SECONDS)
        token, stopped = registry.token, registry.services
    store.gate.set()
    # A process would have ended; here the work goes on for a moment.
    assert stopped.background.close(SECONDS) == set()
    stopped.database.dispose()

    with app_registry(tmp_path / "data", **settings) as registry:
        registry.token = token
        told = look(registry, upload)
        if told["state"] == "open":
            assert registry.complete(upload).status_code in (200, 202)

        assert told["state"] in ("open", "published")
        assert wait(registry, upload)["state"] == "published"


def test_too_many_at_once_are_told_to_come_back(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    full = Background(at_once=1, waiting=0)
    gate = threading.Event()
    full.start(uuid4(), lambda: gate.wait(SECONDS))
    registry.app.state.services = dataclasses.replace(
        registry.services, background=full
    )

    refused = registry.complete(upload)
    told = look(registry, upload)
    gate.set()
    assert full.close(SECONDS) == set()

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert told["state"] == "open"


def test_small_versions_are_verified_at_once(tmp_path, parts):
    manifest = write_version(tmp_path / "v")
    settings = {**parts, "background_bytes": manifest.size_bytes}
    with app_registry(tmp_path / "data", **settings) as registry:
        assert registry.publish(manifest, tmp_path / "v").status_code == 201


def test_a_stranger_has_nothing_verified(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    url = f"/v1/uploads/{upload['id']}/complete"

    assert registry.client.post(url).status_code == 401
    assert claims(registry, upload) is None
