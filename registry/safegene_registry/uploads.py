"""Uploads: open one, receive its blobs, look at it, give it up.

Every call opens an upload of its own, so that one sender's giving up never takes the
ground from under another. `publishing` completes them.
"""

from collections.abc import Iterable
from uuid import UUID, uuid4

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import FileEntry, Manifest
from safegene_registry import (
    access_repository,
    completion_repository,
    publishing_repository,
    reservation_repository,
    sending,
)
from safegene_registry.access import Principal, reader_of
from safegene_registry.admission import check_opening, check_sizes
from safegene_registry.log import get_logger
from safegene_registry.manifests import read_manifest
from safegene_registry.models import Upload
from safegene_registry.problems import ProblemError
from safegene_registry.removal_repository import database_time
from safegene_registry.schemas import BlobTarget, PartSum, PartTarget, UploadDetail
from safegene_registry.sending import blob_targets, no_upload
from safegene_registry.services import Services
from safegene_registry.storage import BlobStore, BlobWriter, StagedBlobMissingError
from safegene_registry.sweeping import SWEEP_LIMIT, remove_expired, withdraw_blobs

log = get_logger("safegene_registry.uploads")

OPEN, COMPLETING, PUBLISHED = "open", "completing", "published"
"""What an upload can be; `completing` is open in the database, and claimed."""


def open_upload(
    services: Services, principal: Principal, manifest_bytes: bytes
) -> UploadDetail:
    """Announce a version.

    Args:
        services: the process's parts.
        principal: who publishes.
        manifest_bytes: the exact manifest.

    Returns:
        The upload, in state `published` if this very manifest already is.

    Raises:
        ManifestError: the bytes are not a canonical manifest, or it promises what no
            servable version holds.
        ProblemError: `version-exists`, `payload-too-large` or `quota-exceeded`; or the
            caller may not publish there.
    """
    manifest = read_manifest(manifest_bytes)
    check_sizes(services, manifest)
    remove_expired(services, limit=SWEEP_LIMIT)
    now = services.now()
    with services.database.writing() as session:
        existing = check_opening(services, session, principal, manifest)
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
        if existing is None:
            reservation_repository.add_reservation(session, upload.id, manifest)
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


def upload_detail(
    services: Services, principal: Principal, upload: Upload
) -> UploadDetail:
    """An upload as the interface shows it, except for the `problem` of a failure."""
    state = COMPLETING if is_completing(services, upload) else upload.state
    blobs: list[BlobTarget] = []
    if state == OPEN:
        manifest = Manifest.from_bytes(upload.manifest)
        missing = {
            entry.digest
            for entry in missing_files(services, principal, upload, manifest)
        }
        blobs = blob_targets(services, upload, manifest, missing)
    return UploadDetail.model_validate(
        {
            "id": upload.id,
            "digest": upload.digest,
            "state": state,
            "expires_at": upload.expires_at,
            "blobs": blobs,
        }
    )


def is_completing(services: Services, upload: Upload) -> bool:
    """Whether the version is being verified in the background."""
    if upload.state == PUBLISHED:
        return False
    with services.database.reading() as session:
        now = database_time(session)
        known = completion_repository.find_completion(session, upload.id)
    return known is not None and known.problem is None and known.busy_until > now


def find_failure(services: Services, upload_id: UUID) -> ProblemError | None:
    """Why the last completion in the background failed, if it did."""
    with services.database.reading() as session:
        known = completion_repository.find_completion(session, upload_id)
    if known is None or known.problem is None:
        return None
    return ProblemError.from_document(known.problem)


def size_of(upload: Upload) -> int:
    """Bytes of all files of the version."""
    return Manifest.from_bytes(upload.manifest).size_bytes


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


def part_targets(
    services: Services,
    principal: Principal,
    upload_id: UUID,
    digest: Digest,
    wanted: Iterable[PartSum],
) -> list[PartTarget]:
    """Where to send some parts of a blob.

    Raises:
        ProblemError: `not-found` for an upload that there is not, or a blob that is
            not being sent in parts; `invalid-request` for a part that it has not.
    """
    upload = find_upload(services, principal, upload_id)
    if upload.state == PUBLISHED:
        raise sending.not_in_parts(digest)
    return sending.part_targets(services, upload_id, digest, wanted)


def finish_blob(
    services: Services, principal: Principal, upload_id: UUID, writer: BlobWriter
) -> None:
    """Stage a received blob, unless the upload has ended meanwhile."""
    try:
        writer.finish()
    except StagedBlobMissingError:
        # Another connection completed the same upload: then the bytes are there.
        find_upload(services, principal, upload_id)


def cancel_upload(services: Services, principal: Principal, upload_id: UUID) -> None:
    """End an upload and drop what it staged; a published version stays."""
    find_upload(services, principal, upload_id)
    with services.database.writing() as session:
        publishing_repository.delete_upload(session, upload_id)
    withdraw_blobs(services, upload_id)
    services.store.discard(upload_id)
    log.info("upload_cancelled", upload_id=str(upload_id))
