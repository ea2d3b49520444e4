"""What somebody who can do anything in the database does to attestations.

Each takes a `Patient` and a folder, as the others of `planted_damage`, and returns what
`fsck` has to name.
"""

from safegene_registry import repositories
from safegene_registry.models import Attestation, Head
from sqlalchemy import select, update
from support.attestations import an_evaluation, enveloped
from support.registry_app import bearer
from support.versions import write_version

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE, Envelope
from safegene.artifact.attestation.keys import PrivateKey
from safegene.artifact.digest import digest_bytes

KEY = PrivateKey.generate()
OTHER = digest_bytes(b"some other version")


def attest(patient, key=None, said=None):
    """Have `lab` say something of the version; the envelope's bytes."""
    data = enveloped(key, said or an_evaluation(), patient.manifest.digest)
    headers = bearer(patient.registry.token_of("lab"))
    headers["Content-Type"] = ENVELOPE_MEDIA_TYPE
    path = "/v1/vectors/acme/refusal/versions/1.0.0/attestations"
    posted = patient.registry.client.post(path, content=data, headers=headers)
    assert posted.status_code == 201, posted.text
    return data


def change(patient, **columns):
    """Give the rows other values, once what refuses that is out of the way."""
    database = patient.registry.services.database
    if database.is_embedded:
        patient.run("DROP TRIGGER attestations_refuse_update")
    else:
        patient.run("ALTER TABLE attestations DISABLE TRIGGER USER")
    with database.writing() as session:
        session.execute(update(Attestation).values(**columns))


def name_of(data, version="acme/refusal@1.0.0"):
    return f"{version} {digest_bytes(data)} by lab"


def change_what_was_said(patient, tmp_path):
    """Better figures, and the old digest."""
    data = attest(patient)
    better = enveloped(None, an_evaluation(refused=99), patient.manifest.digest)
    change(patient, envelope=better)
    return name_of(data)


def put_no_envelope_in_its_place(patient, tmp_path):
    """With its digest."""
    attest(patient)
    change(patient, envelope=b"{}", digest=str(digest_bytes(b"{}")))
    return name_of(b"{}")


def say_it_of_another_version(patient, tmp_path):
    """The row has moved to a version that it says nothing of."""
    data = attest(patient)
    manifest = write_version(tmp_path / "w", vector="acme/other", seed=5)
    assert patient.registry.publish(manifest, tmp_path / "w").status_code == 201
    with patient.registry.services.database.reading() as session:
        version = repositories.find_version(session, manifest.vector, version="1.0.0")
    change(patient, version_id=version.id)
    return name_of(data, "acme/other@1.0.0")


def put_a_statement_of_another_in_its_place(patient, tmp_path):
    """All of the row fits, and its statement is about another version."""
    attest(patient)
    foreign = enveloped(None, an_evaluation(), OTHER)
    change(patient, envelope=foreign, digest=str(digest_bytes(foreign)))
    return name_of(foreign)


def call_it_signed(patient, tmp_path):
    data = attest(patient)
    change(patient, key_id=str(KEY.public.key_id))
    return name_of(data)


def call_it_unsigned(patient, tmp_path):
    data = attest(patient, KEY)
    change(patient, key_id=None)
    return name_of(data)


def call_it_signed_by_another(patient, tmp_path):
    data = attest(patient, KEY)
    change(patient, key_id=str(PrivateKey.generate().public.key_id))
    return name_of(data)


def put_a_signature_on_what_was_not_signed(patient, tmp_path):
    """Somebody's signature, on other words."""
    attest(patient, KEY)
    signed = Envelope.from_bytes(enveloped(KEY, None, patient.manifest.digest))
    worded = Envelope.from_bytes(
        enveloped(None, an_evaluation(refused=99), patient.manifest.digest)
    )
    forged = Envelope(worded.payload, signed.signature).to_bytes()
    change(patient, envelope=forged, digest=str(digest_bytes(forged)))
    return name_of(forged)


def better_a_figure(patient, tmp_path):
    data = attest(patient)
    change(patient, harm_high=0.001)
    return name_of(data)


def pretend_more_samples(patient, tmp_path):
    data = attest(patient)
    change(patient, harmful_samples=100_000)
    return name_of(data)


def call_it_something_else(patient, tmp_path):
    data = attest(patient)
    change(patient, kind="provenance")
    return name_of(data)


def rank_it_by_what_nobody_trusts(patient, tmp_path):
    """The best place of all, by an evaluation that only claims."""
    attest(patient, None, an_evaluation(refused=100, over_refused=0))
    with patient.registry.services.database.writing() as session:
        evaluation_id = select(Attestation.id).scalar_subquery()
        session.execute(update(Head).values(evaluation_id=evaluation_id, j_low=0.93))
    return f"acme/refusal {patient.manifest.architecture.fingerprint}"
