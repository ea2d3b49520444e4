"""`fsck` of what is said of versions: the envelopes against the rows that keep them.

Lists, rankings and policies go by the columns of a row; the envelope beside them is the
proof. So each is read again as if it were posted, and has to say what the columns say.
One finding for each row, the gravest: of an envelope that is another, nothing else
means anything.
"""

from collections.abc import Iterator

from safegene.artifact.attestation.envelope import Envelope
from safegene.artifact.digest import digest_bytes
from safegene.errors import AttestationError
from safegene_registry.attestations.posting import numbers_of
from safegene_registry.care.check_repository import AttestationRow
from safegene_registry.care.findings import Finding, Kind

NUMBERS = (
    *("target_fingerprint", "set_name", "harmful_samples", "harmless_samples", "kl"),
    *(
        f"{name}_{end}"
        for name in ("harm", "j", "over_refusal", "gain")
        for end in ("value", "low", "high")
    ),
)
"""Columns that say once more what the statement says; null where it says nothing."""


def wrong_with(row: AttestationRow) -> Iterator[Finding]:
    """What is wrong with one attestation, if anything."""
    found = gravest(row)
    if found is not None:
        kind, detail = found
        yield Finding(kind, row.name, detail, (row.version,))


def gravest(row: AttestationRow) -> tuple[Kind, str] | None:
    """The kind of what is wrong, and what it is; None: nothing is."""
    got = digest_bytes(row.envelope)
    if str(got) != row.digest:
        return Kind.WRONG_ENVELOPE, f"its envelope's bytes hash to {got}"
    try:
        envelope = Envelope.from_bytes(row.envelope)
        numbers = numbers_of(envelope.statement.said)
    except AttestationError as error:
        return Kind.WRONG_ENVELOPE, error.detail
    about = str(envelope.statement.digest)
    if about != row.version_digest:
        detail = f"expected it to be about {row.version_digest}, it is about {about}"
        return Kind.WRONG_SUBJECT, detail
    signed = wrong_signature(row, envelope)
    if signed is not None:
        return Kind.WRONG_SIGNATURE, signed
    said = {"kind": str(envelope.statement.kind), **numbers}
    differing = "; ".join(differences(row, said))
    return (Kind.WRONG_FIGURES, differing) if differing else None


def wrong_signature(row: AttestationRow, envelope: Envelope) -> str | None:
    """What is wrong with who has signed it; None: nothing."""
    try:
        key_id = envelope.verify()
    except AttestationError as error:
        return error.detail
    proved = None if key_id is None else str(key_id)
    if row.key_id == proved:
        return None
    told = (row.key_id or "unsigned", proved or "unsigned")
    return "its row says {}, its envelope is {}".format(*told)


def differences(row: AttestationRow, said: dict[str, object]) -> Iterator[str]:
    """The columns that are not what the statement says, for people."""
    for name in ("kind", *NUMBERS):
        kept, wanted = row.columns[name], said.get(name)
        # Both databases keep doubles bit for bit, so nothing is rounded here.
        if kept != wanted:
            yield f"{name}: its row has {kept}, its statement {wanted}"
