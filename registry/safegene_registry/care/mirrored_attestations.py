"""What is said of versions elsewhere, taken over by a mirror.

The bytes of each envelope stay as they are; it is verified as if it were posted here.
The account `mirror` keeps it: who has posted it there is somebody else here, or nobody.
So it counts where the namespace trusts its signing key, whoever posts, and nowhere
else.
"""

import dataclasses
from collections.abc import Iterator

from safegene.artifact.attestation.envelope import Envelope
from safegene.artifact.digest import digest_bytes
from safegene.errors import DigestMismatchError
from safegene_registry.access import Principal, Standing
from safegene_registry.attestations import posting
from safegene_registry.care import mirror_repository
from safegene_registry.care.remote import RemoteAttestation, RemoteVersion
from safegene_registry.care.upstream import MAX_ATTESTATIONS, Upstream
from safegene_registry.guards import Access
from safegene_registry.services import Services


def missing_attestations(
    services: Services, upstream: Upstream, version: RemoteVersion
) -> Iterator[RemoteAttestation]:
    """What is said of a version there, and by nobody here; nothing of a purged one.

    Raises:
        UpstreamError: the other registry cannot be asked.
    """
    with services.database.reading() as session:
        known = mirror_repository.known_attestations(
            session, version.vector, version.version
        )
    if known is None:
        return
    for attestation in upstream.attestations(version):
        if str(attestation.digest) not in known:
            yield attestation


def take_attestation(
    services: Services,
    principal: Principal,
    upstream: Upstream,
    version: RemoteVersion,
    attestation: RemoteAttestation,
) -> bool:
    """Keep an envelope as it is there, with the time it was posted.

    Returns:
        Whether it is new here.

    Raises:
        ArtifactError: it is not the envelope that was listed, its signature does not
            hold, or it is about another version.
        ProblemError: this registry does not take it, or not now.
        UpstreamError: it cannot be had.
    """
    data = upstream.envelope(version, attestation)
    got = digest_bytes(data)
    if got != attestation.digest:
        detail = f"expected the envelope {attestation.digest}, got {got}"
        wanted = str(attestation.digest)
        raise DigestMismatchError(detail, expected=wanted, actual=str(got))
    envelope = Envelope.from_bytes(data)
    envelope.verify()
    # What is to come would stand above all that is said here.
    at = min(attestation.posted_at, services.now())
    then = dataclasses.replace(services, now=lambda: at)
    access = Access(Standing(principal, version.vector.namespace))
    posted = posting.keep(
        then,
        access,
        version.vector,
        version.version,
        envelope,
        at_most=MAX_ATTESTATIONS,
    )
    return posted.is_new
