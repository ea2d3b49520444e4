"""Publishes a directory: announce, send what is missing, complete.

Nothing is visible before the last step, so whatever interrupts leaves at most an open
upload behind, which is cancelled if there is still time and expires otherwise.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from safegene.artifact.bundle import verify_directory
from safegene.artifact.digest import CHUNK_BYTES
from safegene.artifact.manifest import FileEntry, Manifest
from safegene.errors import RegistryError, SafeGeneError
from safegene_client.answers import ResolvedVersion, Upload
from safegene_client.fetching import version_path
from safegene_client.session import Body, Session
from safegene_client.storage import storage_errors
from safegene_client.transfer import Progress

MANIFEST_MEDIA_TYPE = "application/vnd.safegene.manifest+json"
CANCEL_SECONDS = 3.0
UNREADABLE = "nothing was published; make the file readable and publish again"
BLOB_MEDIA_TYPE = "application/octet-stream"


def publish_directory(
    session: Session, directory: Path, *, progress: Progress | None = None
) -> ResolvedVersion:
    """Publish a version's directory; publishing the same again is a success.

    Args:
        session: with the registry, holding a token that may publish.
        directory: as written by `save_vector`; every byte is checked first.
        progress: called with bytes done and bytes in all.

    Raises:
        ArtifactError: the directory is not a whole and consistent version.
        AlreadyExistsError: another manifest is published under this version.
        AuthenticationError: no good token.
        RegistryError: the registry refused or could not be reached.
    """
    manifest = verify_directory(directory)
    opened = session.ask(
        Upload,
        "POST",
        "/v1/uploads",
        body=Body.of(manifest.to_bytes(), MANIFEST_MEDIA_TYPE),
    )
    if opened.state == "published":
        path = version_path(manifest.vector, manifest.version)
        return session.ask(ResolvedVersion, "GET", path)
    address = f"/v1/uploads/{quote(opened.id, safe='')}"
    try:
        _send_missing(session, opened, manifest, directory, progress)
        return session.ask(ResolvedVersion, "POST", f"{address}/complete")
    except BaseException:
        # Once and briefly: a registry that is gone must not hold up the error.
        with suppress(SafeGeneError):
            session.send("DELETE", address, attempts=1, timeout=CANCEL_SECONDS)
        raise


def _send_missing(
    session: Session,
    opened: Upload,
    manifest: Manifest,
    directory: Path,
    progress: Progress | None,
) -> None:
    entries = {entry.digest: entry for entry in manifest.files}
    total = manifest.size_bytes
    done = 0
    for blob in opened.blobs:
        entry = entries.get(blob.digest)
        if entry is None:
            message = (
                f"the registry at {session.url} asks for {blob.digest}, which"
                f" {manifest.identity} does not have; nothing was published"
            )
            raise RegistryError(message)
        if blob.state == "missing":
            body = _file_body(directory / entry.path, entry, done, total, progress)
            session.send("PUT", blob.url, body=body)
        done += entry.size
        if progress:
            progress(done, total)


def _file_body(
    path: Path, entry: FileEntry, before: int, total: int, progress: Progress | None
) -> Body:
    def chunks() -> Iterator[bytes]:
        sent = 0
        with storage_errors(path, UNREADABLE), path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
                sent += len(chunk)
                if progress:
                    progress(before + sent, total)

    return Body(BLOB_MEDIA_TYPE, entry.size, chunks)
