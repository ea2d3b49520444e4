"""Publishes a directory: announce, send what is missing, complete.

What is large is hashed while it is sent, and completed only if every byte is what the
manifest says; the registry finds that out for itself. Nothing is visible before the
last step. What interrupts leaves an open upload behind, which is cancelled if there is
still time and expires otherwise; one of a large version is kept for the next try, which
goes on where this one stopped.
"""

import json
import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from safegene.artifact.bundle import verify_bytes, verify_directory
from safegene.artifact.manifest import Manifest
from safegene.errors import NotFoundError, SafeGeneError, TransportError
from safegene_client.answers import ResolvedVersion, Upload
from safegene_client.beside import Beside
from safegene_client.fetching import version_path
from safegene_client.problems import PROBLEM_MEDIA_TYPE, error_from_response
from safegene_client.sending import UNREADABLE, Sender
from safegene_client.session import Body, Retries, Session
from safegene_client.storage import storage_errors
from safegene_client.transfer import Progress
from safegene_client.uploads import UploadRecord, upload_record

MANIFEST_MEDIA_TYPE = "application/vnd.safegene.manifest+json"
SMALL_BYTES = 32 << 20
"""Up to this size a version is hashed before anything is sent: it takes no time."""

CANCEL_SECONDS = 3.0
FIRST_LOOK_SECONDS = 0.5
LONGEST_LOOK_SECONDS = 5.0
"""Pauses between looks at a completion that goes on in the background."""


def publish_directory(
    session: Session,
    directory: Path,
    *,
    records: Path,
    progress: Progress | None = None,
) -> ResolvedVersion:
    """Publish a version's directory; publishing the same again is a success.

    Args:
        session: with the registry, holding a token that may publish.
        directory: as written by `save_vector`; every byte is checked.
        records: directory where uploads under way are remembered.
        progress: called with bytes done and bytes in all.

    Raises:
        ArtifactError: the directory is not a whole and consistent version.
        AlreadyExistsError: another manifest is published under this version.
        AuthenticationError: no good token.
        RegistryError: the registry refused or could not be reached.
        LocalStorageError: a file cannot be read.
    """
    manifest = verify_directory(directory, full=False)
    verification = Beside(lambda: verify_readable(directory, manifest))
    if manifest.size_bytes <= SMALL_BYTES:
        verification.wait()
    with upload_record(records, session.url, manifest.digest) as record:
        upload = _resumed(session, manifest, record) or _opened(session, manifest)
        if upload.state == "published":
            record.forget()
            verification.wait()
            return _version(session, manifest)
        record.write(upload.id)
        address = _address(upload.id)
        sender = Sender(session, manifest, directory, progress, verification.check)
        try:
            sender.send(upload, lambda: session.ask(Upload, "GET", address))
            verification.wait()
            published = _completed(session, manifest, address)
        except BaseException as error:
            if not _may_go_on(upload, error):
                record.forget()
                # Once and briefly: a registry that is gone must not hold up the error.
                with suppress(SafeGeneError):
                    session.send("DELETE", address, attempts=1, timeout=CANCEL_SECONDS)
            raise
        record.forget()
        return published


def verify_readable(directory: Path, manifest: Manifest) -> None:
    """Hash every file.

    Raises:
        ArtifactError: one is not what the manifest says.
        LocalStorageError: one cannot be read.
    """
    with storage_errors(directory, UNREADABLE):
        verify_bytes(directory, manifest)


def _address(upload_id: str) -> str:
    return f"/v1/uploads/{quote(upload_id, safe='')}"


def _opened(session: Session, manifest: Manifest) -> Upload:
    body = Body.of(manifest.to_bytes(), MANIFEST_MEDIA_TYPE)
    return session.ask(Upload, "POST", "/v1/uploads", body=body)


def _resumed(
    session: Session, manifest: Manifest, record: UploadRecord
) -> Upload | None:
    """The upload of an earlier try, if the registry still has it."""
    upload_id = record.read()
    if upload_id is None:
        return None
    try:
        upload = session.ask(Upload, "GET", _address(upload_id))
    except NotFoundError:
        return None
    return upload if upload.digest == str(manifest.digest) else None


def _may_go_on(upload: Upload, error: BaseException) -> bool:
    """Whether the next try should find what this one has sent."""
    large = any(blob.parts for blob in upload.blobs)
    return large and isinstance(error, KeyboardInterrupt | TransportError)


def _completed(session: Session, manifest: Manifest, address: str) -> ResolvedVersion:
    """Have the registry verify and publish, however long it takes."""
    retries = Retries()
    while True:
        answer = session.send("POST", f"{address}/complete")
        if answer.status != HTTPStatus.ACCEPTED:
            return session.parse(ResolvedVersion, answer, address)
        upload = _waited(session, address)
        if upload.state == "published":
            return _version(session, manifest)
        if upload.problem is None:
            continue  # whoever verified it was stopped: have it begun anew
        try:
            raise _error(session, upload.problem)
        except TransportError as error:
            retries.wait(error)


def _waited(session: Session, address: str) -> Upload:
    pause = FIRST_LOOK_SECONDS
    while True:
        time.sleep(pause)
        upload = session.ask(Upload, "GET", address)
        if upload.state != "completing":
            return upload
        pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)


def _error(session: Session, problem: dict[str, object]) -> Exception:
    status = problem.get("status")
    return error_from_response(
        status if isinstance(status, int) else HTTPStatus.INTERNAL_SERVER_ERROR,
        {"content-type": PROBLEM_MEDIA_TYPE},
        json.dumps(problem).encode(),
        url=session.url,
    )


def _version(session: Session, manifest: Manifest) -> ResolvedVersion:
    path = version_path(manifest.vector, manifest.version)
    return session.ask(ResolvedVersion, "GET", path)
