"""Publishing: an upload whose blobs have come is verified and made visible.

Blobs come first, rows second. Until the last transaction nothing is visible; after a
crash anywhere before it there is nothing but staged or unreferenced blobs, which
`sweeping` clears away. The same manifest again is a success, another one under the same
version is a conflict, and the database decides who was first.
"""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.orm import Session

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import FileEntry, Manifest
from safegene.artifact.reference import best_version
from safegene.errors import ArtifactError
from safegene_registry import (
    lock_repository,
    publishing_repository,
    removals,
    repositories,
    reservation_repository,
)
from safegene_registry.access import Principal, Visibility
from safegene_registry.admission import check_publishing, confirm_publishing
from safegene_registry.catalog import version_detail
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.log import get_logger
from safegene_registry.models import Upload, Version
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.publishing_repository import Room
from safegene_registry.schemas import VersionDetail
from safegene_registry.sending import assemble_blobs, drop_staged, no_upload
from safegene_registry.services import Services
from safegene_registry.storage import (
    StagedBlobMissingError,
    StagedBlobWrongError,
    StorageError,
)
from safegene_registry.sweeping import withdraw_blobs
from safegene_registry.uploads import OPEN, PUBLISHED, find_upload, missing_files
from safegene_registry.verification import (
    BlobGoneError,
    CorruptBlobError,
    check_present,
    verify_files,
)

log = get_logger("safegene_registry.publishing")

ATTEMPTS = 3
"""How often completion begins anew when a blob vanishes under it."""


def complete_upload(
    services: Services, principal: Principal, upload_id: UUID
) -> tuple[VersionDetail, bool]:
    """Check everything once more and publish.

    Returns:
        The version, and whether this call published it (False: it already was).

    Raises:
        ProblemError: `blob-missing`, `version-exists`, `not-found`.
        ArtifactError: a file is not what the manifest says; nothing was published.
    """
    for _ in range(ATTEMPTS):
        upload = find_upload(services, principal, upload_id)
        try:
            version, created = complete_once(services, principal, upload)
        except (StagedBlobMissingError, BlobGoneError) as error:
            # Another connection has ended this upload, or a sweep has taken a blob
            # that this upload still has staged. Looking anew tells which.
            log.warning("blob_vanished", upload_id=str(upload_id), blob=str(error))
            removals.wait_for_end(services, digests_of(upload))
        except StagedBlobWrongError as error:
            raise refused_bytes(services, upload, error.digest) from error
        except (ArtifactError, ProblemError) as error:
            if not is_passing(error):
                withdraw_blobs(services, upload_id)
            raise
        else:
            services.store.discard(upload_id)
            return version, created
    detail = f"Blobs of upload {upload_id} keep vanishing before they are published."
    raise StorageError(detail)


def digests_of(upload: Upload) -> set[Digest]:
    """The blobs of an upload."""
    manifest = Manifest.from_bytes(upload.manifest)
    return {Digest.parse(entry.digest) for entry in manifest.files}


def is_passing(error: Exception) -> bool:
    """Whether the same upload may be completed later, as it is."""
    return isinstance(error, ProblemError) and "Retry-After" in error.headers


def complete_once(
    services: Services, principal: Principal, upload: Upload
) -> tuple[VersionDetail, bool]:
    """Promote, verify and publish.

    Raises:
        StagedBlobMissingError: a staged blob is gone.
        StagedBlobWrongError: other bytes were sent than announced.
        BlobGoneError: a final blob is gone.
    """
    manifest = Manifest.from_bytes(upload.manifest)
    tags: dict[Digest, str] = {}
    if upload.state == OPEN:
        assemble_blobs(services, upload.id)
        check_received(services, principal, upload, manifest)
        promote_blobs(services, upload, manifest)
        tags = verified_tags(services, upload, manifest)
    return publish(services, principal, upload, manifest, tags)


def check_received(
    services: Services, principal: Principal, upload: Upload, manifest: Manifest
) -> None:
    """Refuse to go on while bytes are missing.

    Raises:
        StagedBlobMissingError: another connection has published the upload meanwhile,
            and has cleared its staging area.
        ProblemError: `blob-missing`.
    """
    missing = missing_files(services, principal, upload, manifest)
    if missing:
        if find_upload(services, principal, upload.id).state != OPEN:
            raise StagedBlobMissingError(missing[0].digest)
        raise blob_missing(manifest, missing)


def blob_missing(manifest: Manifest, missing: list[FileEntry]) -> ProblemError:
    """The problem that lists the files to send."""
    faults = [
        Fault(f"/files/{manifest.files.index(entry)}", f"{entry.digest} ({entry.path})")
        for entry in missing
    ]
    detail = f"{len(missing)} of {len(manifest.files)} files have not been received."
    return ProblemError(detail, "blob-missing", faults=faults)


def promote_blobs(services: Services, upload: Upload, manifest: Manifest) -> None:
    """Give every staged blob its final key."""
    named = {Digest.parse(entry.digest) for entry in manifest.files}
    for digest in named & services.store.staged(upload.id).keys():
        services.store.promote(upload.id, digest)


def verified_tags(
    services: Services, upload: Upload, manifest: Manifest
) -> dict[Digest, str]:
    """Verify the final blobs; wrong ones are replaced by this upload's, if right.

    Returns:
        What was verified, as the store tells objects apart.

    Raises:
        StagedBlobWrongError: what this upload has sent is wrong as well.
        ProblemError: `blob-missing`: it has sent nothing in the place of a wrong blob.
    """
    for _ in manifest.files:
        try:
            return verify_files(services.store, manifest)
        except CorruptBlobError as error:
            digest = Digest.parse(error.entry.digest)
            log.exception("blob_corrupt", digest=str(digest))
            if digest not in services.store.staged(upload.id):
                raise blob_missing(manifest, [error.entry]) from error
            services.store.replace(upload.id, digest)
    return verify_files(services.store, manifest)


def refused_bytes(services: Services, upload: Upload, digest: Digest) -> ProblemError:
    """Throw away what was staged under a digest and is not that; the problem."""
    # First what it has promoted, which is known by what it has staged.
    withdraw_blobs(services, upload.id)
    drop_staged(services, upload.id, digest)
    manifest = Manifest.from_bytes(upload.manifest)
    entry = next(entry for entry in manifest.files if entry.digest == str(digest))
    pointer = f"/files/{manifest.files.index(entry)}"
    detail = (
        f"What was sent as {entry.path} is not {digest}. It was thrown away; send the "
        "file again."
    )
    return ProblemError(
        detail, "digest-mismatch", faults=[Fault(pointer, "other bytes were sent")]
    )


def publish(
    services: Services,
    principal: Principal,
    upload: Upload,
    manifest: Manifest,
    tags: Mapping[Digest, str],
) -> tuple[VersionDetail, bool]:
    """Make the version visible, whole or not at all.

    Args:
        services: the process's parts.
        principal: who publishes.
        upload: of the version.
        manifest: of the version.
        tags: of the blobs that were verified.
    """
    with services.database.writing() as session:
        if publishing_repository.find_upload(session, upload.id, lock=True) is None:
            # Whoever cancelled was told that nothing would be published.
            raise no_upload(upload.id)
        known = repositories.find_version(
            session, manifest.vector, version=manifest.version
        )
        if known is None:
            # The store may take long to answer. Until it has, only those wait who would
            # remove these blobs, and not who publishes other versions of the vector.
            removals.keep_blobs(session, digests_of(upload))
            check_present(services.store, manifest, tags)
        lock_repository.lock_vector(session, manifest.vector)
        existing = check_publishing(services, session, principal, manifest)
        if existing is None:
            # Last of all, since others wait for this.
            confirm_publishing(services, session, principal, manifest)
            open_namespace(services, session, principal, manifest)
        version = existing or publishing_repository.add_version(
            session,
            manifest,
            manifest_bytes=upload.manifest,
            token_id=principal.token_id,
            published_at=services.now(),
        )
        if existing is None:
            move_head(session, version)
            reservation_repository.end_reservations(session, manifest)
            record(
                session,
                manifest.namespace,
                Kind.VERSION_PUBLISHED,
                by=principal,
                vector=manifest.name,
                version=version.version,
                digest=version.digest,
            )
        publishing_repository.set_upload_state(session, upload.id, PUBLISHED)
        detail = version_detail(session, manifest.vector, version)
    if existing is None:
        log.info(
            "version_published",
            vector=str(manifest.vector),
            version=version.version,
            digest=version.digest,
            size_bytes=version.size_bytes,
            principal_id=str(principal.token_id),
        )
    return detail, existing is None


def open_namespace(
    services: Services, session: Session, principal: Principal, manifest: Manifest
) -> None:
    """Have a namespace to publish into; the first version makes it.

    Raises:
        ProblemError: the refusal, where somebody else has just made it.
    """
    quota_bytes = services.settings.namespace_quota_bytes
    room = publishing_repository.ensure_namespace(
        session, manifest.namespace, principal.account_id, quota_bytes
    )
    if room is Room.TAKEN:
        # It is not the caller's to open any more.
        confirm_publishing(services, session, principal, manifest)
    if room is Room.MADE:
        record(
            session,
            manifest.namespace,
            Kind.NAMESPACE_CREATED,
            by=principal,
            owner=principal.account,
            visibility=Visibility.PUBLIC,
            quota_bytes=quota_bytes,
        )


def move_head(session: Session, version: Version) -> None:
    """Count the version, and point at it if it is the newest of its family."""
    head = repositories.find_head(session, version.vector_id, version.fingerprint)
    if head is None:
        publishing_repository.add_head(session, version)
        return
    rivals = [] if head.is_yanked else [head.version.version]
    newest = best_version([*rivals, version.version], None)
    publishing_repository.advance_head(
        session, head, version, newest=newest == version.version
    )
