"""A failure at any step of completion: nothing is visible, and a retry succeeds."""

import dataclasses
from uuid import UUID

import pytest
from safegene_registry.db import Database
from safegene_registry.storage import BlobStore, StagedBlobMissingError
from support.faults import accept_inserts, refuse_inserts
from support.stores import Faulty
from support.versions import write_version

from safegene.artifact.digest import Digest


class PowerCutError(RuntimeError):
    """The process ends here."""


class FailingStore(Faulty):
    """The real store, until its n-th call of one method."""

    def __init__(self, store: BlobStore, method: str, call: int) -> None:
        super().__init__(store)
        self.method = method
        self.left = call

    def count(self, method: str) -> None:
        """Fail when it is time."""
        if method == self.method:
            self.left -= 1
            if self.left == 0:
                raise PowerCutError

    def promote(self, upload_id: UUID, digest: Digest) -> None:
        """Promote or fail."""
        self.count("promote")
        self.inner.promote(upload_id, digest)

    def open(self, digest: Digest, *, start: int = 0):
        """Read or fail."""
        self.count("open")
        return self.inner.open(digest, start=start)

    def discard(self, upload_id: UUID) -> None:
        """Discard or fail."""
        self.count("discard")
        self.inner.discard(upload_id)


STEPS = [("promote", n) for n in (1, 2, 4)] + [("open", n) for n in (1, 4)]


def is_published(registry) -> bool:
    listed = registry.client.get("/v1/vectors").json()["items"]
    url = "/v1/vectors/acme/refusal/versions/1.0.0"
    return bool(listed) or registry.client.get(url).status_code == 200


@pytest.mark.parametrize(("method", "call"), STEPS)
def test_a_crash_before_the_commit_shows_nothing(registry, tmp_path, method, call):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    whole = registry.services
    failing = FailingStore(registry.services.store, method, call)
    registry.app.state.services = dataclasses.replace(whole, store=failing)

    failed = registry.complete(upload)
    seen = is_published(registry)
    registry.app.state.services = whole
    retried = registry.complete(upload)

    assert failed.status_code == 500
    assert not seen
    assert retried.status_code == 201
    assert is_published(registry)


def test_a_crash_after_the_commit_has_published(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    whole = registry.services
    failing = FailingStore(registry.services.store, "discard", 1)
    registry.app.state.services = dataclasses.replace(whole, store=failing)

    failed = registry.complete(upload)
    registry.app.state.services = whole

    assert failed.status_code == 500
    assert is_published(registry)
    assert registry.complete(upload).status_code == 200
    assert registry.staged_files() == []


def test_a_failing_statement_takes_the_whole_transaction_back(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    database: Database = registry.services.database
    with database.writing() as session:
        refuse_inserts(session, "heads")

    failed = registry.complete(upload)
    with database.writing() as session:
        connection = session.connection()
        counts = {
            table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
            for table in ("namespaces", "vectors", "versions", "files", "blobs")
        }
        accept_inserts(session, "heads")

    assert failed.status_code == 500
    assert "heads" not in failed.text
    assert set(counts.values()) == {0}
    assert registry.complete(upload).status_code == 201


class VanishingStore(Faulty):
    """Another connection completes or cancels the upload just before promotion."""

    meanwhile = staticmethod(lambda: None)

    def promote(self, upload_id: UUID, digest: Digest) -> None:
        """Find the staged blob gone."""
        self.meanwhile()
        raise StagedBlobMissingError(str(digest))


def test_losing_the_race_to_complete_is_a_success(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    whole = registry.services

    def complete_elsewhere():
        registry.app.state.services = whole
        assert registry.complete(upload).status_code == 201

    store = VanishingStore(registry.services.store)
    store.meanwhile = complete_elsewhere
    registry.app.state.services = dataclasses.replace(whole, store=store)

    answer = registry.complete(upload)

    assert answer.status_code == 200
    assert answer.json()["version"] == "1.0.0"


def test_completing_what_is_cancelled_meanwhile_publishes_nothing(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    whole = registry.services

    def cancel_elsewhere():
        url = f"/v1/uploads/{upload['id']}"
        assert registry.client.delete(url, headers=registry.auth).status_code == 204

    store = VanishingStore(registry.services.store)
    store.meanwhile = cancel_elsewhere
    registry.app.state.services = dataclasses.replace(whole, store=store)

    answer = registry.complete(upload)

    assert answer.status_code == 404
    assert not is_published(registry)


def test_cancelling_during_verification_publishes_nothing(registry, tmp_path):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    whole = registry.services

    class CancelledStore(Faulty):
        def open(self, digest: Digest, *, start: int = 0):
            url = f"/v1/uploads/{upload['id']}"
            registry.client.delete(url, headers=registry.auth)
            return self.inner.open(digest, start=start)

    store = CancelledStore(registry.services.store)
    registry.app.state.services = dataclasses.replace(whole, store=store)

    assert registry.complete(upload).status_code == 404
    assert not is_published(registry)


class OvertakenStore(Faulty):
    """Another connection completes the upload just before its staging area is read."""

    def __init__(self, registry, upload):
        super().__init__(registry.services.store)
        self.registry, self.upload = registry, upload
        self.other = None

    def staged(self, upload_id):
        if self.other is None:
            self.other = 0  # the other one reads it as well
            self.other = self.registry.complete(self.upload).status_code
        return self.inner.staged(upload_id)


def test_an_upload_that_another_connection_completes_meanwhile_is_a_success(
    registry, tmp_path
):
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    whole = registry.services
    store = OvertakenStore(registry, upload)
    registry.app.state.services = dataclasses.replace(whole, store=store)

    answer = registry.complete(upload)
    registry.app.state.services = whole

    assert store.other == 201
    assert answer.status_code == 200, answer.text
