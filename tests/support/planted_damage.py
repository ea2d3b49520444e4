"""A registry with one version, and every kind of damage that tests do to it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from safegene_registry import publishing_repository, repositories
from safegene_registry.services import utc_now
from sqlalchemy import text
from support.registry_app import AppRegistry, Clock, app_registry
from support.stores import remove_behind, write_behind
from support.versions import write_version

from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.manifest import CARD_NAME, TENSORS_NAME, Manifest


@dataclass
class Patient:
    """A registry with one version, whose disk the tests play."""

    registry: AppRegistry
    manifest: Manifest
    clock: Clock

    @property
    def tensors(self) -> Digest:
        """The blob that is damaged."""
        return Digest.parse(self.manifest.file(TENSORS_NAME).digest)

    @property
    def key(self) -> str:
        """Where it lies."""
        return f"blobs/sha256/{self.tensors.hex[:2]}/{self.tensors.hex}"

    @property
    def data(self) -> bytes:
        """What it holds."""
        with self.registry.services.store.open(self.tensors) as blob:
            return b"".join(iter(lambda: blob.read(1 << 16), b""))

    def write(self, data: bytes) -> None:
        """Change it behind the registry's back."""
        write_behind(self.registry.services.store, self.key, data)

    def run(self, statement: str, **values) -> None:
        """Change rows behind the registry's back."""
        with self.registry.services.database.writing() as session:
            session.execute(text(statement), values)


@contextmanager
def patient_in(place: Path, **parts: Any) -> Iterator[Patient]:
    """One with a version of `acme/refusal`, and a clock to set.

    Args:
        place: a folder for the registry and the version.
        parts: of the registry, as `app_registry` takes them.
    """
    with app_registry(place / "data", **parts) as registry:
        clock = registry.put_clock(Clock())
        manifest = write_version(place / "v")
        assert registry.publish(manifest, place / "v").status_code == 201
        yield Patient(registry, manifest, clock)


def lose(patient, tmp_path):
    remove_behind(patient.registry.services.store, patient.key)
    return patient.tensors


def truncate(patient, tmp_path):
    patient.write(patient.data[:-1])
    return patient.tensors


def lengthen(patient, tmp_path):
    patient.write(patient.data + b"\0")
    return patient.tensors


def flip(patient, tmp_path):
    data = bytearray(patient.data)
    data[-1] ^= 1
    patient.write(bytes(data))
    return patient.tensors


def forget_the_size(patient, tmp_path):
    patient.run(
        "UPDATE blobs SET size_bytes = 1 WHERE digest = :name",
        name=str(patient.tensors),
    )
    return patient.tensors


def add_unchecked(patient, manifest, manifest_bytes):
    """Have rows say what a manifest says, whatever its bytes are, as 1.0.0's owner."""
    with patient.registry.services.database.writing() as session:
        old = repositories.find_version(session, manifest.vector, version="1.0.0")
        publishing_repository.add_version(
            session,
            manifest,
            manifest_bytes=manifest_bytes,
            token_id=old.token_id,
            published_at=utc_now(),
        )


def publish_wrong_segments(patient, tmp_path):
    """As a registry would that does not look at segments."""
    facts = patient.manifest.model_dump(mode="json") | {"version": "2.0.0"}
    entry = next(each for each in facts["files"] if each["path"] == TENSORS_NAME)
    entry["segments"][1]["digest"] = str(digest_bytes(b"another layer"))
    manifest = Manifest.model_validate(facts)
    add_unchecked(patient, manifest, manifest.to_bytes())
    return patient.tensors


def change_a_manifest(patient, tmp_path):
    """The rows name other files than it does."""
    facts = patient.manifest.model_dump(mode="json") | {"version": "2.0.0"}
    manifest = Manifest.model_validate(facts)
    add_unchecked(patient, manifest, patient.manifest.to_bytes())
    return "acme/refusal@2.0.0"


def lose_what_a_row_refers_to(patient, tmp_path):
    """With the database's own check turned off, as in a copy made by hand."""
    database = patient.registry.services.database
    wrong = UUID("f" * 32)
    if database.is_embedded:
        with closing(sqlite3.connect(database.url.database)) as connection:
            connection.execute("UPDATE heads SET version_id = ?", [wrong.hex])
            connection.commit()
    else:
        patient.run("ALTER TABLE heads DROP CONSTRAINT fk_heads_version_id_versions")
        patient.run("UPDATE heads SET version_id = :wrong", wrong=wrong)
    with database.reading() as session:
        vector = repositories.find_vector(session, patient.manifest.vector)
    return f"heads {vector.id} {patient.manifest.architecture.fingerprint}"


def lose_the_version_of_an_alias(patient, tmp_path):
    """The same for an alias."""
    return point_an_alias(patient, UUID("f" * 32), checked=False)


def lead_an_alias_astray(patient, tmp_path):
    """It points at a version of another vector, which no foreign key forbids."""
    manifest = write_version(tmp_path / "w", vector="acme/other", seed=5)
    assert patient.registry.publish(manifest, tmp_path / "w").status_code == 201
    with patient.registry.services.database.reading() as session:
        version = repositories.find_version(session, manifest.vector, version="1.0.0")
    return point_an_alias(patient, version.id, checked=True)


def point_an_alias(patient, version_id, *, checked):
    """Insert the row of an alias; its name as a finding has it."""
    database = patient.registry.services.database
    with database.reading() as session:
        vector = repositories.find_vector(session, patient.manifest.vector)
    row = [vector.id, "stable", version_id, "2026-11-26 12:00:00"]
    if database.is_embedded:
        with closing(sqlite3.connect(database.url.database)) as connection:
            row = [each.hex if isinstance(each, UUID) else each for each in row]
            connection.execute("INSERT INTO aliases VALUES (?, ?, ?, ?)", row)
            connection.commit()
    else:
        if not checked:
            key = "fk_aliases_version_id_versions"
            patient.run(f"ALTER TABLE aliases DROP CONSTRAINT {key}")
        values = dict(zip("abcd", row, strict=True))
        patient.run("INSERT INTO aliases VALUES (:a, :b, :c, :d)", **values)
    return f"aliases {vector.id} stable"


def change_an_event(patient, tmp_path):
    """The first of the namespace, by somebody who can do anything in the database."""
    if patient.registry.services.database.is_embedded:
        patient.run("DROP TRIGGER events_refuse_update")
    else:
        patient.run("ALTER TABLE events DISABLE TRIGGER USER")
    patient.run("UPDATE events SET actor = 'nobody' WHERE position = 1")
    return "acme 1"


def leave_a_row(patient, tmp_path):
    digest = digest_bytes(b"nobody's")
    patient.run("INSERT INTO blobs VALUES (:name, 8)", name=str(digest))
    return digest


def leave_a_blob(patient, tmp_path):
    """A card that a killed replica has promoted; its upload has been cleared away."""
    manifest = write_version(
        tmp_path / "w", version="3.0.0", seed=3, description="Another."
    )
    upload = patient.registry.send(manifest, tmp_path / "w")
    store, upload_id = patient.registry.services.store, UUID(upload["id"])
    digest = Digest.parse(manifest.file(CARD_NAME).digest)
    store.promote(upload_id, digest)
    store.discard(upload_id)
    patient.run("DELETE FROM uploads")
    patient.clock.ahead = timedelta(days=2)
    return digest


def misplace(patient, tmp_path):
    hexed = patient.tensors.hex
    folder = "00" if hexed[:2] != "00" else "01"
    key = f"blobs/sha256/{folder}/{hexed}"
    write_behind(patient.registry.services.store, key, patient.data)
    patient.run("DELETE FROM uploads")
    patient.clock.ahead = timedelta(days=2)
    return key


def leave_an_upload(patient, tmp_path):
    patient.run("DELETE FROM uploads")
    manifest = write_version(tmp_path / "w", version="3.0.0", seed=3)
    upload = patient.registry.send(manifest, tmp_path / "w")
    patient.clock.ahead = timedelta(hours=25)
    return upload["id"]


def forget_an_upload(patient, tmp_path):
    """Its row is gone, what it staged is not."""
    staged = leave_an_upload(patient, tmp_path)
    patient.run("DELETE FROM uploads")
    patient.clock.ahead = timedelta(days=2)
    return staged


Plant = Callable[[Patient, object], object]
