"""Statements about how the blobs of uploads are sent; see `repositories`."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from safegene_registry.models import UploadBlob

OPEN, RECEIVED = "open", "received"


def add_transfer(session: Session, transfer: UploadBlob) -> None:
    """Keep how a blob is being sent."""
    session.add(transfer)
    session.flush()


def find_transfer(session: Session, upload_id: UUID, digest: str) -> UploadBlob | None:
    """How a blob is being sent, None when nothing has begun."""
    return session.get(UploadBlob, (upload_id, digest))


def open_transfers(session: Session, upload_id: UUID) -> Sequence[UploadBlob]:
    """How the blobs of an upload are being sent that are not whole yet."""
    query = select(UploadBlob).where(
        UploadBlob.upload_id == upload_id, UploadBlob.state == OPEN
    )
    return session.scalars(query).all()


def delete_transfer(session: Session, upload_id: UUID, digest: str) -> None:
    """Forget how a blob was being sent."""
    session.execute(
        delete(UploadBlob).where(
            UploadBlob.upload_id == upload_id, UploadBlob.digest == digest
        )
    )


def set_received(session: Session, upload_id: UUID, digest: str) -> None:
    """A blob that was sent in parts is whole."""
    session.execute(
        update(UploadBlob)
        .where(UploadBlob.upload_id == upload_id, UploadBlob.digest == digest)
        .values(state=RECEIVED)
    )
