"""`fsck` finds every kind of damage that is planted, and nothing on a healthy store."""

from uuid import UUID

import pytest
from safegene_registry.access import Scope
from safegene_registry.care.findings import Kind
from safegene_registry.care.fsck import drawn, examine
from safegene_registry.care.repair import repair
from support.attestations import an_evaluation, calibration_of
from support.planted_attestations import (
    KEY,
    attest,
    better_a_figure,
    call_it_signed,
    call_it_signed_by_another,
    call_it_something_else,
    call_it_unsigned,
    change_what_was_said,
    pretend_more_samples,
    put_a_signature_on_what_was_not_signed,
    put_a_statement_of_another_in_its_place,
    put_no_envelope_in_its_place,
    rank_it_by_what_nobody_trusts,
    say_it_of_another_version,
)
from support.planted_damage import (
    Plant,
    change_a_manifest,
    change_an_event,
    flip,
    forget_an_upload,
    forget_the_size,
    lead_an_alias_astray,
    leave_a_blob,
    leave_a_row,
    leave_an_upload,
    lengthen,
    lose,
    lose_the_version_of_an_alias,
    lose_what_a_row_refers_to,
    misplace,
    patient_in,
    publish_wrong_segments,
    truncate,
)
from support.registry_app import bearer
from support.stores import keys_of
from support.versions import write_version

from safegene.artifact.attestation.predicates import CalibrationMade, Provenance
from safegene.artifact.digest import Digest
from safegene.artifact.manifest import TENSORS_NAME


@pytest.fixture
def patient(tmp_path, parts):
    with patient_in(tmp_path, **parts) as patient:
        yield patient


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
    (Kind.WRONG_ENVELOPE, change_what_was_said),
    (Kind.WRONG_ENVELOPE, put_no_envelope_in_its_place),
    (Kind.WRONG_SUBJECT, say_it_of_another_version),
    (Kind.WRONG_SUBJECT, put_a_statement_of_another_in_its_place),
    (Kind.WRONG_SIGNATURE, call_it_signed),
    (Kind.WRONG_SIGNATURE, call_it_unsigned),
    (Kind.WRONG_SIGNATURE, call_it_signed_by_another),
    (Kind.WRONG_SIGNATURE, put_a_signature_on_what_was_not_signed),
    (Kind.WRONG_FIGURES, better_a_figure),
    (Kind.WRONG_FIGURES, pretend_more_samples),
    (Kind.WRONG_FIGURES, call_it_something_else),
    (Kind.WRONG_STANDING, rank_it_by_what_nobody_trusts),
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
    assert report.attestations == 0
    assert report.hashed_bytes == patient.manifest.size_bytes


@pytest.mark.parametrize(
    ("kind", "plant"), PLANTS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_what_is_planted_is_found_and_nothing_else(patient, tmp_path, kind, plant):
    name = plant(patient, tmp_path)

    assert found(patient) == [(kind, str(name))]


def test_all_that_can_be_said_is_held_against_its_row(patient):
    """Every kind of statement, signed or not, also of a version that was purged."""
    digest = patient.manifest.digest
    for said in (
        an_evaluation(),
        CalibrationMade(calibration=calibration_of(digest, gain="0.61")),
        Provenance(builder="ci", tool="safegene/0.1.0"),
    ):
        attest(patient, None, said)
        attest(patient, KEY, said)
    owner = bearer(patient.registry.token_of("tests", Scope.ADMIN))
    purged = patient.registry.client.post(
        "/v1/vectors/acme/refusal/versions/1.0.0/purge",
        json={"reason": "by law", "digest": str(digest)},
        headers=owner,
    )
    assert purged.status_code == 200, purged.text

    report = examine(patient.registry.services)

    assert (report.findings, report.attestations) == ([], 6)


def test_a_finding_about_an_attestation_says_what_its_row_has(patient, tmp_path):
    better_a_figure(patient, tmp_path)

    (finding,) = examine(patient.registry.services).findings

    wanted = an_evaluation().harm.numbers[2]
    assert finding.detail == f"harm_high: its row has 0.001, its statement {wanted}"
    assert finding.versions == ("acme/refusal@1.0.0",)
    assert "restore the database" in finding.plan


def test_a_finding_about_the_ranking_says_what_counts(patient, tmp_path):
    rank_it_by_what_nobody_trusts(patient, tmp_path)

    (finding,) = examine(patient.registry.services).findings

    assert finding.detail == (
        "ranked by a J of at least 0.930, its best evaluation that counts has no J"
    )


def test_a_repair_leaves_attestations_alone(patient, tmp_path):
    """The database refuses to change them, and nothing can be lost by that."""
    better_a_figure(patient, tmp_path)
    report = examine(patient.registry.services)

    repair(patient.registry.services, report)

    assert report.done == []
    assert report.left == report.findings
    assert report.is_damaged


@pytest.mark.parametrize(
    "plant", [leave_a_row, forget_the_size, misplace, rank_it_by_what_nobody_trusts]
)
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
