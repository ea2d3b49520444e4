"""What was said of a version: a page of it, and one envelope's bytes."""

from safegene.artifact.reference import VectorName
from safegene_registry import catalog
from safegene_registry.attestations import attestation_repository
from safegene_registry.attestations.attestation_repository import AttestationFilter
from safegene_registry.attestations.figures import (
    calibration_figures,
    evaluation_figures,
)
from safegene_registry.attestations.schemas import AttestationEntry, AttestationPage
from safegene_registry.models import Attestation
from safegene_registry.pages import decode_time_cursor, encode_cursor
from safegene_registry.services import Services


def list_page(
    services: Services,
    vector: VectorName,
    version: str,
    wanted: AttestationFilter,
    *,
    limit: int,
    cursor: str | None,
) -> AttestationPage:
    """One page of what was said of a version, the last one first.

    Raises:
        ProblemError: `not-found`, `version-purged` or `invalid-request`.
    """
    before = None if cursor is None else decode_time_cursor(cursor)
    with services.database.reading() as session:
        found = attestation_repository.list_attestations(
            session,
            catalog.find_version(session, vector, version).id,
            vector.namespace,
            wanted,
            before=before,
            limit=limit + 1,
        )
    last = found[limit - 1][0] if len(found) > limit else None
    return AttestationPage(
        items=[
            entry(row, account, trusted=trusted)
            for row, account, trusted in found[:limit]
        ],
        next_cursor=(
            encode_cursor(last.posted_at.isoformat(), str(last.id)) if last else None
        ),
    )


def find_envelope(
    services: Services, vector: VectorName, version: str, digest: str
) -> bytes:
    """The exact bytes of an envelope.

    Raises:
        ProblemError: `not-found` or `version-purged`.
    """
    with services.database.reading() as session:
        found = catalog.find_version(session, vector, version)
        data = attestation_repository.find_envelope(session, found.id, digest)
    if data is None:
        detail = f"There is no attestation {digest} of {vector}@{found.version}."
        raise catalog.not_found(detail)
    return data


def entry(row: Attestation, account: str, *, trusted: bool) -> AttestationEntry:
    """An attestation as the interface shows it."""
    return AttestationEntry.model_validate(
        {
            "digest": row.digest,
            "kind": row.kind,
            "account": account,
            "posted_at": row.posted_at,
            "signed": row.key_id is not None,
            "key_id": row.key_id,
            "trusted": trusted,
            "target_fingerprint": row.target_fingerprint,
            "evaluation": evaluation_figures(row),
            "calibration": calibration_figures(row),
        }
    )
