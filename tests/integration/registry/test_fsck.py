"""`fsck` finds every kind of damage that is planted, and nothing on a healthy store."""

import json
import logging
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from safegene_registry import publishing_repository, repositories
from safegene_registry.__main__ import main
from safegene_registry.care.findings import Kind
from safegene_registry.care.fsck import drawn, examine
from safegene_registry.care.repair import repair
from safegene_registry.services import utc_now
from sqlalchemy import text
from support.backends import environment_of
from support.registry_app import AppRegistry, Clock, app_registry
from support.stores import keys_of, remove_behind, write_behind
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


@pytest.fixture
def patient(tmp_path, parts):
    with app_registry(tmp_path / "data", **parts) as registry:
        clock = registry.put_clock(Clock())
        manifest = write_version(tmp_path / "v")
        assert registry.publish(manifest, tmp_path / "v").status_code == 201
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


def publish_wrong_segments(patient, tmp_path):
    """As a registry would that does not look at segments."""
    facts = patient.manifest.model_dump(mode="json") | {"version": "2.0.0"}
    entry = next(each for each in facts["files"] if each["path"] == TENSORS_NAME)
    entry["segments"][1]["digest"] = str(digest_bytes(b"another layer"))
    manifest = Manifest.model_validate(facts)
    with patient.registry.services.database.writing() as session:
        old = repositories.find_version(session, manifest.vector, version="1.0.0")
        publishing_repository.add_version(
            session,
            manifest,
            manifest_bytes=manifest.to_bytes(),
            token_id=old.token_id,
            published_at=utc_now(),
        )
    return patient.tensors


def change_a_manifest(patient, tmp_path):
    """The rows name other files than it does."""
    facts = patient.manifest.model_dump(mode="json") | {"version": "2.0.0"}
    manifest = Manifest.model_validate(facts)
    with patient.registry.services.database.writing() as session:
        old = repositories.find_version(session, manifest.vector, version="1.0.0")
        publishing_repository.add_version(
            session,
            manifest,
            manifest_bytes=patient.manifest.to_bytes(),
            token_id=old.token_id,
            published_at=utc_now(),
        )
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

PLANTS: list[tuple[Kind, Plant]] = [
    (Kind.MISSING, lose),
    (Kind.TRUNCATED, truncate),
    (Kind.WRONG_SIZE, lengthen),
    (Kind.FLIPPED, flip),
    (Kind.WRONG_SIZE, forget_the_size),
    (Kind.WRONG_SEGMENT, publish_wrong_segments),
    (Kind.WRONG_MANIFEST, change_a_manifest),
    (Kind.DANGLING_ROW, lose_what_a_row_refers_to),
    (Kind.DANGLING_ALIAS, lose_the_version_of_an_alias),
    (Kind.DANGLING_ALIAS, lead_an_alias_astray),
    (Kind.BROKEN_CHAIN, change_an_event),
    (Kind.ORPHAN_ROW, leave_a_row),
    (Kind.ORPHAN_BLOB, leave_a_blob),
    (Kind.MISPLACED, misplace),
    (Kind.STALE_UPLOAD, leave_an_upload),
    (Kind.STALE_UPLOAD, forget_an_upload),
]


def found(patient) -> list[tuple[Kind, str]]:
    report = examine(patient.registry.services)
    return [(finding.kind, finding.name) for finding in report.findings]


def test_a_healthy_registry_has_nothing_to_tell(patient, tmp_path):
    """Also while a version is on its way, whole blobs of it in their final place."""
    manifest = write_version(tmp_path / "w", version="2.0.0", seed=2)
    upload = patient.registry.send(manifest, tmp_path / "w")
    digest = Digest.parse(manifest.file(TENSORS_NAME).digest)
    patient.registry.services.store.promote(UUID(upload["id"]), digest)

    report = examine(patient.registry.services)

    assert report.findings == []
    assert (report.versions, report.blobs, report.hashed) == (1, 4, 4)
    assert report.hashed_bytes == patient.manifest.size_bytes


@pytest.mark.parametrize(
    ("kind", "plant"), PLANTS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_what_is_planted_is_found_and_nothing_else(patient, tmp_path, kind, plant):
    name = plant(patient, tmp_path)

    assert found(patient) == [(kind, str(name))]


@pytest.mark.parametrize("plant", [leave_a_row, forget_the_size, misplace])
def test_a_repair_leaves_nothing_to_tell(patient, tmp_path, plant):
    plant(patient, tmp_path)
    report = examine(patient.registry.services)

    repair(patient.registry.services, report)

    assert report.left == []
    assert len(report.done) == 1
    assert found(patient) == []


@pytest.mark.parametrize("plant", [truncate, lengthen, flip])
def test_damaged_bytes_are_set_aside_and_not_lost(patient, tmp_path, plant):
    plant(patient, tmp_path)
    wrong = patient.data
    report = examine(patient.registry.services)

    repair(patient.registry.services, report)

    store = patient.registry.services.store
    (kept,) = keys_of(store, "quarantine/")
    assert report.done == [f"{patient.tensors} was moved to {kept}"]
    assert report.is_damaged
    assert report.left == report.findings
    assert found(patient) == [(Kind.MISSING, str(patient.tensors))]
    size = len(wrong)
    assert sizes(store, "quarantine/") == [size]


def sizes(store, prefix) -> list[int]:
    if store.direct is not None:
        return [each.size for each in store.bucket.list(prefix)]
    files = (store.root / prefix).rglob("*")
    return [path.stat().st_size for path in files if path.is_file()]


def test_a_blob_that_was_mended_meanwhile_is_not_set_aside(patient, tmp_path):
    right = patient.data
    flip(patient, tmp_path)
    report = examine(patient.registry.services)
    patient.write(right)

    repair(patient.registry.services, report)

    assert report.done == []
    assert patient.data == right
    assert found(patient) == []
    assert keys_of(patient.registry.services.store, "quarantine/") == []


def test_leftovers_and_what_versions_need_are_left_alone(patient, tmp_path):
    leave_a_blob(patient, tmp_path)
    lose(patient, tmp_path)
    report = examine(patient.registry.services)
    before = sorted(keys_of(patient.registry.services.store, ""))

    repair(patient.registry.services, report)

    assert report.done == []
    assert sorted(keys_of(patient.registry.services.store, "")) == before


def test_a_sample_hashes_a_part_and_always_something():
    names = [f"name{n}" for n in range(100)]

    assert len(drawn(names, 0.1, 0)) == 10
    assert drawn(names, 0.1, 0) != drawn(names, 0.1, 1)
    assert len(drawn(names, 0, 0)) == 1
    assert drawn(names, 1, 0) == sorted(names)
    assert drawn([], 1, 0) == []


@pytest.fixture
def fsck(monkeypatch, capsys, tmp_path, parts):
    """Runs the command in this process; its exit code and output."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for name, value in environment_of(parts).items():
        monkeypatch.setenv(name, value)

    def run(*options):
        data = str(tmp_path / "data")
        command = ["safegene-registry", "fsck", "--data", data, *options]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        root.handlers[:], root.level = handlers, level
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


def test_the_command_says_what_is_wrong_and_what_to_do(patient, tmp_path, fsck):
    healthy = fsck("--sample", "5")
    leave_a_row(patient, tmp_path)
    flip(patient, tmp_path)

    code, out, _ = fsck()
    again, told, _ = fsck("--json", "--repair")

    assert healthy[:2] == (0, "")
    assert "0 findings in 1 versions and 4 blobs" in healthy[2]
    assert (code, again) == (4, 4)
    lines = sorted(out.splitlines())
    assert lines[0].startswith(f"flipped {patient.tensors} (acme/refusal@1.0.0): its ")
    assert lines[1].startswith("orphan-row sha256:")
    document = json.loads(told)
    assert document["counts"] == {"flipped": 1, "orphan-row": 1}
    assert {each["kind"]: each["is_mended"] for each in document["findings"]} == {
        "flipped": False,
        "orphan-row": True,
    }
    assert len(document["done"]) == 2


def test_leftovers_have_an_exit_code_of_their_own(patient, tmp_path, fsck):
    """The command has no other clock: the upload is made old."""
    leave_an_upload(patient, tmp_path)
    patient.run("UPDATE uploads SET expires_at = created_at")

    code, out, _ = fsck()

    assert code == 3
    assert out.startswith("stale-upload ")
