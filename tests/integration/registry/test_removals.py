"""A blob is never taken from a version, whoever dies at which moment."""

import threading
import time
from datetime import timedelta
from uuid import UUID

import pytest
from safegene_registry import removals
from safegene_registry.lock_repository import lock_blobs
from safegene_registry.models import Removal
from safegene_registry.sweeping import remove_leftovers
from sqlalchemy import text
from support.registry_app import app_registry
from support.versions import write_version

from safegene.artifact.digest import Digest

LONG_AGO = timedelta(hours=1)


@pytest.fixture
def registry(tmp_path, parts):
    with app_registry(tmp_path / "data", **parts) as running:
        yield running


@pytest.fixture
def sent(registry, tmp_path):
    """A version on its way, with its blobs promoted; its upload and their digests."""
    manifest = write_version(tmp_path / "v")
    upload = registry.send(manifest, tmp_path / "v")
    digests = [Digest.parse(entry.digest) for entry in manifest.files]
    for digest in digests:
        registry.services.store.promote(UUID(upload["id"]), digest)
    return upload, digests


def write_down(registry, digest: Digest, *, ago: timedelta = timedelta(0)) -> None:
    """As a process does that then dies."""
    with registry.services.database.writing() as session:
        at = registry.services.now() - ago
        session.add(Removal(digest=str(digest), started_at=at))


def written_down(registry) -> int:
    with registry.services.database.reading() as session:
        return session.scalar(text("SELECT count(*) FROM removals"))


def kept(registry) -> set[str]:
    return {path.name for path in registry.final_blobs()}


def test_what_nobody_names_goes_and_nothing_stays_written_down(registry, sent):
    _upload, digests = sent

    sizes = removals.remove_unnamed(registry.services, digests)

    assert sizes.keys() == set(digests)
    assert kept(registry) == set()
    assert written_down(registry) == 0


def test_what_a_version_names_stays(registry, sent):
    upload, digests = sent
    assert registry.complete(upload).status_code == 201

    sizes = removals.remove_unnamed(registry.services, digests)

    assert sizes == {}
    assert kept(registry) == {digest.hex for digest in digests}


def test_a_version_waits_for_a_removal_and_has_its_blobs(registry, sent):
    """The other process is about to remove a blob, and then does."""
    upload, digests = sent
    write_down(registry, digests[0])
    answers = []
    publisher = threading.Thread(
        target=lambda: answers.append(registry.complete(upload))
    )

    publisher.start()
    time.sleep(1)
    waiting = publisher.is_alive()
    registry.services.store.remove(digests[0])
    with registry.services.database.writing() as session:
        session.execute(text("DELETE FROM removals"))
    publisher.join()

    assert waiting
    assert answers[0].status_code == 201
    assert kept(registry) == {digest.hex for digest in digests}


def test_a_version_does_not_wait_for_ever(registry, sent, monkeypatch):
    monkeypatch.setattr(removals, "WAIT_SECONDS", 0.2)
    upload, digests = sent
    write_down(registry, digests[0])

    answer = registry.complete(upload)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert str(digests[0]) in answer.json()["detail"]
    assert registry.client.get("/v1/vectors").json()["items"] == []


def test_a_version_takes_over_what_a_dead_process_began(registry, sent):
    upload, digests = sent
    write_down(registry, digests[0], ago=LONG_AGO)

    answer = registry.complete(upload)

    assert answer.status_code == 201
    assert kept(registry) == {digest.hex for digest in digests}
    assert written_down(registry) == 0


def test_a_sweep_takes_over_what_a_dead_process_began(registry, sent):
    _upload, digests = sent
    write_down(registry, digests[0], ago=LONG_AGO)
    write_down(registry, digests[1])

    removed = remove_leftovers(registry.services)

    assert [leftover.name for leftover in removed] == [str(digests[0])]
    assert kept(registry) == {digest.hex for digest in digests[1:]}
    assert written_down(registry) == 1


def test_two_never_remove_one_blob_at_once(registry, sent):
    _upload, digests = sent
    write_down(registry, digests[0])

    sizes = removals.remove_unnamed(registry.services, digests)

    assert sizes.keys() == set(digests[1:])
    assert kept(registry) == {digests[0].hex}


def test_who_slept_too_long_asks_for_nothing(registry, sent):
    """Another process may have taken over, and a version may have come since."""
    upload, digests = sent
    at = registry.services.now() - LONG_AGO
    assert registry.complete(upload).status_code == 201
    began = time.monotonic() - LONG_AGO.total_seconds()

    sizes = removals.carry_out(
        registry.services, digests, at=at, began=began, before=None
    )

    assert sizes == {}
    assert kept(registry) == {digest.hex for digest in digests}


def test_who_slept_strikes_out_nothing_of_others(registry, sent):
    _upload, digests = sent
    write_down(registry, digests[0])

    removals.carry_out(
        registry.services,
        digests[:1],
        at=registry.services.now() - LONG_AGO,
        began=time.monotonic() - LONG_AGO.total_seconds(),
        before=None,
    )

    assert written_down(registry) == 1


def test_a_removal_waits_for_a_publication_and_leaves_its_blobs(registry, sent):
    """SQLite by its one writer, PostgreSQL by locks on the blobs."""
    _upload, digests = sent
    removed = []

    def remove() -> None:
        removed.append(removals.remove_unnamed(registry.services, digests[:1]))

    remover = threading.Thread(target=remove)
    with registry.services.database.writing() as session:
        session.execute(text("SELECT 1"))  # a transaction begins when it is used
        lock_blobs(session, map(str, digests))
        remover.start()
        time.sleep(1)
        waiting = remover.is_alive()
        session.execute(
            text("INSERT INTO blobs (digest, size_bytes) VALUES (:digest, 1)"),
            {"digest": str(digests[0])},
        )
    remover.join()

    assert waiting
    assert removed == [{}]
    assert kept(registry) == {digest.hex for digest in digests}
