"""How the blobs of an upload are sent: through the registry, or straight to the store.

Straight means presigned addresses: one for a blob that is sent whole, one a part for a
large one, given to who says what the part's sha256 is. A transfer in parts
is remembered in the database, so that whoever asks again, of whichever replica, is told
which parts are missing.
"""

from collections.abc import Collection, Iterable
from uuid import UUID

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import FileEntry, Manifest
from safegene_registry import publishing_repository, upload_repository
from safegene_registry.log import get_logger
from safegene_registry.models import Upload, UploadBlob
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.schemas import BlobTarget, PartState, PartSum, PartTarget
from safegene_registry.services import Services
from safegene_registry.storage import (
    DirectTransfer,
    Multipart,
    Part,
    StagedBlobMissingError,
    StorageError,
    cut,
)

log = get_logger("safegene_registry.sending")

ATTEMPTS = 3
"""How often a transfer is begun anew that the store has forgotten."""


def blob_targets(
    services: Services, upload: Upload, manifest: Manifest, missing: Collection[str]
) -> list[BlobTarget]:
    """Every blob of an upload, and how those are to be sent that are missing.

    Args:
        services: the process's parts.
        upload: the open upload.
        manifest: of the upload.
        missing: digests of the blobs that are not here.

    Raises:
        ProblemError: `not-found` when the upload is being cancelled.
        StorageError: the store cannot be asked now.
    """
    entries = {entry.digest: entry for entry in manifest.files}
    return [
        missing_target(services, upload.id, entry)
        if digest in missing
        else BlobTarget(digest=digest, size_bytes=entry.size, state="present")
        for digest, entry in entries.items()
    ]


def missing_target(services: Services, upload_id: UUID, entry: FileEntry) -> BlobTarget:
    """How one missing blob is to be sent."""
    digest = Digest.parse(entry.digest)
    direct = services.store.direct
    url: str | None = f"/v1/uploads/{upload_id}/blobs/{digest}"
    headers: dict[str, str] = {}
    parts: list[PartState] = []
    if direct is not None:
        part_bytes = direct.part_bytes(entry.size)
        if part_bytes is None:
            address = direct.address(upload_id, digest, entry.size)
            url, headers = address.url, dict(address.headers)
        else:
            found = parts_of(services, direct, upload_id, entry, part_bytes)
            url, parts = None, [part_state(part) for part in found]
    return BlobTarget(
        digest=entry.digest,
        size_bytes=entry.size,
        state="missing",
        url=url,
        headers=headers,
        parts=parts,
    )


def part_state(part: Part) -> PartState:
    """A part as the interface shows it."""
    return PartState(
        number=part.number,
        offset=part.offset,
        size_bytes=part.size,
        state="present" if part.present else "missing",
    )


def part_targets(
    services: Services, upload_id: UUID, digest: Digest, wanted: Iterable[PartSum]
) -> list[PartTarget]:
    """Where to send some parts of a blob.

    Args:
        services: the process's parts.
        upload_id: of the open upload.
        digest: of the blob.
        wanted: the parts, and the sha256 of each, which is signed along.

    Raises:
        ProblemError: `not-found`: no transfer in parts is under way, which looking at
            the upload would begin; `invalid-request`: it has no such part.
    """
    direct = services.store.direct
    with services.database.reading() as session:
        known = upload_repository.find_transfer(session, upload_id, str(digest))
    if direct is None or known is None or known.state != upload_repository.OPEN:
        raise not_in_parts(digest)
    transfer = multipart_of(known)
    parts = {part.number: part for part in cut(known.size_bytes, transfer.part_bytes)}
    targets = []
    for index, asked in enumerate(wanted):
        part = parts.get(asked.number)
        if part is None:
            detail = f"{digest} has parts 1 to {len(parts)}, not {asked.number}."
            fault = Fault(f"/parts/{index}/number", "there is no such part")
            raise ProblemError(detail, "invalid-request", faults=[fault])
        checksum = Digest.parse(asked.digest)
        address = direct.part_address(upload_id, digest, transfer, part, checksum)
        headers = dict(address.headers)
        targets.append(PartTarget(number=part.number, url=address.url, headers=headers))
    return targets


def parts_of(
    services: Services,
    direct: DirectTransfer,
    upload_id: UUID,
    entry: FileEntry,
    part_bytes: int,
) -> list[Part]:
    """The parts of a blob; begins the transfer if none is under way."""
    digest = Digest.parse(entry.digest)
    for _ in range(ATTEMPTS):
        parts = transfer_of(services, direct, upload_id, entry, part_bytes)
        try:
            return direct.parts(upload_id, digest, entry.size, parts)
        except StagedBlobMissingError:
            # Aborted behind our back, by a rule of the bucket, say.
            log.warning("transfer_lost", upload_id=str(upload_id), digest=entry.digest)
            forget_transfer(services, upload_id, digest)
    detail = f"The transfer of the blob {digest} keeps being lost; tell the operator."
    raise StorageError(detail)


def transfer_of(
    services: Services,
    direct: DirectTransfer,
    upload_id: UUID,
    entry: FileEntry,
    part_bytes: int,
) -> Multipart:
    """The transfer in parts under way, begun if there is none; one of those at once."""
    with services.database.reading() as session:
        known = upload_repository.find_transfer(session, upload_id, entry.digest)
    if known is not None:
        return multipart_of(known)
    digest = Digest.parse(entry.digest)
    begun = direct.begin_parts(upload_id, digest, part_bytes)
    kept = None
    try:
        kept = keep_transfer(services, upload_id, entry, begun)
    finally:
        if kept != begun:
            direct.abort_parts(upload_id, digest, begun)
    return kept


def keep_transfer(
    services: Services, upload_id: UUID, entry: FileEntry, begun: Multipart
) -> Multipart:
    """Remember a transfer, unless another connection has begun one meanwhile.

    Returns:
        The one that counts.
    """
    with services.database.writing() as session:
        # Locked: the upload must not go before the row that refers to it has come.
        if publishing_repository.find_upload(session, upload_id, lock=True) is None:
            raise no_upload(upload_id)
        known = upload_repository.find_transfer(session, upload_id, entry.digest)
        if known is not None:
            return multipart_of(known)
        transfer = UploadBlob(
            upload_id=upload_id,
            digest=entry.digest,
            size_bytes=entry.size,
            kind="multipart",
            multipart_id=begun.id,
            part_bytes=begun.part_bytes,
            state=upload_repository.OPEN,
            created_at=services.now(),
        )
        upload_repository.add_transfer(session, transfer)
    return begun


def multipart_of(transfer: UploadBlob) -> Multipart:
    """What the store needs to know of a transfer in parts."""
    if transfer.multipart_id is None or transfer.part_bytes is None:
        message = f"the transfer of {transfer.digest} is not in parts"
        raise ValueError(message)
    return Multipart(transfer.multipart_id, transfer.part_bytes)


def forget_transfer(services: Services, upload_id: UUID, digest: Digest) -> None:
    """Let a blob be sent from the beginning."""
    with services.database.writing() as session:
        upload_repository.delete_transfer(session, upload_id, str(digest))


def assemble_blobs(services: Services, upload_id: UUID) -> None:
    """Make staged blobs of those that have arrived in parts, all of them."""
    direct = services.store.direct
    if direct is None:
        return
    with services.database.reading() as session:
        transfers = upload_repository.open_transfers(session, upload_id)
    for transfer in transfers:
        digest = Digest.parse(transfer.digest)
        try:
            whole = direct.assemble(
                upload_id, digest, transfer.size_bytes, multipart_of(transfer)
            )
        except StagedBlobMissingError:
            forget_transfer(services, upload_id, digest)
            continue
        if whole:
            with services.database.writing() as session:
                upload_repository.set_received(session, upload_id, transfer.digest)


def drop_staged(services: Services, upload_id: UUID, digest: Digest) -> None:
    """Throw away what was staged under a digest and is something else."""
    services.store.unstage(upload_id, digest)
    forget_transfer(services, upload_id, digest)


def not_in_parts(digest: Digest) -> ProblemError:
    """The problem."""
    detail = f"The blob {digest} is not being sent in parts; look at the upload."
    return ProblemError(detail, "not-found")


def no_upload(upload_id: UUID) -> ProblemError:
    """The problem."""
    detail = f"There is no upload {upload_id}; it may have expired: open a new one."
    return ProblemError(detail, "not-found")
