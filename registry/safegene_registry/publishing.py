"""Publishing: open an upload, receive its blobs, complete it in one transaction.

Blobs come first, rows second. Until the last transaction nothing is visible; after a
crash anywhere before it there is nothing but staged or unreferenced blobs, which
`sweeping` clears away. The same manifest again is a success, another one under the same
version is a conflict, and the database decides who was first.
"""

from collections.abc import Mapping
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import FileEntry, Manifest
from safegene.artifact.reference import best_version
from safegene.errors import ArtifactError
from safegene_registry import (
    access_repository,
    lock_repository,
    publishing_repository,
    removals,
    repositories,
)
from safegene_registry.access import Principal, reader_of
from safegene_registry.admission import check_publishing, check_sizes
from safegene_registry.catalog import version_detail
from safegene_registry.log import get_logger
from safegene_registry.models import Upload, Version
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.schemas import BlobTarget, UploadDetail, VersionDetail
from safegene_registry.services import Services
from safegene_registry.storage import (
    BlobStore,
    BlobWriter,
    StagedBlobMissingError,
    StorageError,
)
from safegene_registry.sweeping import SWEEP_LIMIT, remove_expired, withdraw_blobs
from safegene_registry.verification import (
    BlobGoneError,
    CorruptBlobError,
    check_present,
    verify_files,
)

log = get_logger("safegene_registry.publishing")

ATTEMPTS = 3
"""How often completion begins anew when a blob vanishes under it."""

OPEN, PUBLISHED = "open", "published"


def open_upload(
    services: Services, principal: Principal, manifest_bytes: bytes
) -> UploadDetail:
    """Announce a version.

    Every call opens an upload of its own, so that one sender's giving up never takes
    the ground from under another.

    Args:
        services: the process's parts.
        principal: who publishes.
        manifest_bytes: the exact manifest.

    Returns:
        The upload, in state `published` if this very manifest already is.

    Raises:
        ManifestError: the bytes are not a canonical manifest.
        ProblemError: `version-exists`, `payload-too-large` or `quota-exceeded`; or the
            caller may not publish there.
    """
    manifest = Manifest.from_bytes(manifest_bytes)
    check_sizes(services, manifest)
    remove_expired(services, limit=SWEEP_LIMIT)
    now = services.now()
    with services.database.writing() as session:
        existing = check_publishing(services, session, principal, manifest)
        upload = Upload(
            id=uuid4(),
            token_id=principal.token_id,
            namespace=manifest.namespace,
            digest=str(manifest.digest),
            manifest=manifest_bytes,
            state=PUBLISHED if existing else OPEN,
            created_at=now,
            expires_at=now + services.settings.upload_ttl,
        )
        publishing_repository.add_upload(session, upload)
    log.info("upload_opened", upload_id=str(upload.id), digest=upload.digest)
    return upload_detail(services, principal, upload)


def find_upload(services: Services, principal: Principal, upload_id: UUID) -> Upload:
    """The caller's upload; what is another's or expired is not found."""
    with services.database.reading() as session:
        upload = access_repository.find_upload_of(
            session, upload_id, principal.account_id
        )
    if upload is None or upload.expires_at <= services.now():
        raise no_upload(upload_id)
    return upload


def no_upload(upload_id: UUID) -> ProblemError:
    """The problem."""
    detail = f"There is no upload {upload_id}; it may have expired: open a new one."
    return ProblemError(detail, "not-found")


def upload_detail(
    services: Services, principal: Principal, upload: Upload
) -> UploadDetail:
    """An upload as the interface shows it."""
    blobs = []
    if upload.state == OPEN:
        manifest = Manifest.from_bytes(upload.manifest)
        missing = {
            entry.digest
            for entry in missing_files(services, principal, upload, manifest)
        }
        sizes = {entry.digest: entry.size for entry in manifest.files}
        blobs = [
            BlobTarget(
                digest=digest,
                size_bytes=size,
                state="missing" if digest in missing else "present",
                url=f"/v1/uploads/{upload.id}/blobs/{digest}",
            )
            for digest, size in sizes.items()
        ]
    return UploadDetail.model_validate(
        {
            "id": upload.id,
            "digest": upload.digest,
            "state": upload.state,
            "expires_at": upload.expires_at,
            "blobs": blobs,
        }
    )


def missing_files(
    services: Services, principal: Principal, upload: Upload, manifest: Manifest
) -> list[FileEntry]:
    """The files that the caller still has to send.

    Not what this upload staged, and not what published versions name that the caller
    may read. Any other blob counts as missing although it may be there: nobody gets
    bytes, or hears of them, for knowing their digest.
    """
    with services.database.reading() as session:
        shared = access_repository.readable_blobs(
            session, {entry.digest for entry in manifest.files}, reader_of(principal)
        )
    staged = services.store.staged(upload.id)
    return [
        entry
        for entry in manifest.files
        if staged.get(Digest.parse(entry.digest)) != entry.size
        and not (entry.digest in shared and is_whole(services.store, entry))
    ]


def is_whole(store: BlobStore, entry: FileEntry) -> bool:
    """Whether the final blob is there, and of its size."""
    found = store.find(Digest.parse(entry.digest))
    return found is not None and found.size == entry.size


def begin_blob(
    services: Services, principal: Principal, upload_id: UUID, digest: Digest
) -> tuple[BlobWriter, int] | None:
    """Get ready to receive one blob.

    Returns:
        Where to write it and its promised size; None when the version is published
        already and there is nothing left to receive.

    Raises:
        ProblemError: `not-found` for an upload or a blob that was not announced.
    """
    upload = find_upload(services, principal, upload_id)
    manifest = Manifest.from_bytes(upload.manifest)
    sizes = {entry.digest: entry.size for entry in manifest.files}
    size = sizes.get(str(digest))
    if size is None:
        detail = f"The manifest of upload {upload_id} names no blob {digest}."
        raise ProblemError(detail, "not-found")
    if upload.state == PUBLISHED:
        return None
    return services.store.receive(upload_id, digest, size), size


def finish_blob(
    services: Services, principal: Principal, upload_id: UUID, writer: BlobWriter
) -> None:
    """Stage a received blob, unless the upload has ended meanwhile."""
    try:
        writer.finish()
    except StagedBlobMissingError:
        # Another connection completed the same upload: then the bytes are there.
        find_upload(services, principal, upload_id)


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
        BlobGoneError: a final blob is gone.
    """
    manifest = Manifest.from_bytes(upload.manifest)
    tags: dict[Digest, str] = {}
    if upload.state == OPEN:
        check_received(services, principal, upload, manifest)
        promote_blobs(services, upload, manifest)
        try:
            tags = verify_files(services.store, manifest)
        except CorruptBlobError as error:
            log.exception("blob_corrupt", digest=error.entry.digest)
            raise blob_missing(manifest, [error.entry]) from error
    return publish(services, principal, upload, manifest, tags)


def check_received(
    services: Services, principal: Principal, upload: Upload, manifest: Manifest
) -> None:
    """Refuse to go on while bytes are missing."""
    missing = missing_files(services, principal, upload, manifest)
    if missing:
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
        lock_repository.lock_vector(session, manifest.vector)
        # Once more: rights and room may have gone while the bytes came.
        existing = check_publishing(services, session, principal, manifest)
        if existing is None:
            removals.keep_blobs(session, digests_of(upload))
            check_present(services.store, manifest, tags)
            if not publishing_repository.ensure_namespace(
                session,
                manifest.namespace,
                principal.account_id,
                services.settings.namespace_quota_bytes,
            ):
                # It is not the caller's to open any more.
                check_publishing(services, session, principal, manifest)
        version = existing or publishing_repository.add_version(
            session,
            manifest,
            manifest_bytes=upload.manifest,
            token_id=principal.token_id,
            published_at=services.now(),
        )
        if existing is None:
            move_head(session, version)
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


def move_head(session: Session, version: Version) -> None:
    """Count the version, and point at it if it is the newest of its family."""
    head = repositories.find_head(session, version.vector_id, version.fingerprint)
    if head is None:
        publishing_repository.add_head(session, version)
        return
    newest = best_version([head.version.version, version.version], None)
    publishing_repository.advance_head(
        session, head, version, newest=newest == version.version
    )


def cancel_upload(services: Services, principal: Principal, upload_id: UUID) -> None:
    """End an upload and drop what it staged; a published version stays."""
    find_upload(services, principal, upload_id)
    with services.database.writing() as session:
        publishing_repository.delete_upload(session, upload_id)
    withdraw_blobs(services, upload_id)
    services.store.discard(upload_id)
    log.info("upload_cancelled", upload_id=str(upload_id))
