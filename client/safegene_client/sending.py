"""Sends the blobs of an upload to wherever the registry wants them.

Through the registry itself, straight to its object store, or there in parts, several at
once. What is sent is read anew for every attempt, and a part once before: its address
takes no bytes but those whose sha256 the registry was told. An address that works no
more is replaced by asking the registry again, which also tells what is there already.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NoReturn, TypeVar
from urllib.parse import quote

from safegene.artifact.digest import CHUNK_BYTES
from safegene.artifact.manifest import FileEntry, Manifest
from safegene.errors import NotFoundError, RegistryError
from safegene_client.answers import (
    PartAddress,
    PartAddresses,
    Upload,
    UploadBlob,
    UploadPart,
)
from safegene_client.problems import AddressRefusedError
from safegene_client.session import Body, Retries, Session, json_body
from safegene_client.storage import storage_errors
from safegene_client.transfer import Progress

BLOB_MEDIA_TYPE = "application/octet-stream"
UNREADABLE = "nothing was published; make the file readable and publish again"
PARTS_AT_ONCE = 4
STORE_HEADER = "x-amz-"
"""What the names of headers begin with that a registry may have us send to a store."""


Item = TypeVar("Item")


class Sender:
    """Sends what an upload is missing.

    Args:
        session: with the registry.
        manifest: of the version.
        directory: where its files are.
        progress: called with bytes done and bytes in all.
        watch: called now and then, from any thread; may raise what ends the sending.
    """

    def __init__(
        self,
        session: Session,
        manifest: Manifest,
        directory: Path,
        progress: Progress | None,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = session
        self._manifest = manifest
        self._entries = {entry.digest: entry for entry in manifest.files}
        self._directory = directory
        self._watch = watch
        self._tally = Tally(manifest.size_bytes, progress)

    def send(self, upload: Upload, again: Callable[[], Upload]) -> None:
        """Send everything that is missing.

        Args:
            upload: as the registry told it.
            again: asks the registry what is missing now.

        Raises:
            RegistryError: the registry or its store refused or could not be reached.
            LocalStorageError: a file cannot be read.
            Exception: what `watch` raises.
        """
        retries = Retries()
        while True:
            before = self._tally.pieces
            try:
                self._send_all(upload)
            except AddressRefusedError as error:
                if self._tally.pieces > before:
                    retries.reset()
                retries.wait(error)
                upload = again()
            else:
                return

    def _send_all(self, upload: Upload) -> None:
        for blob in upload.blobs:
            entry = self._entry(blob)
            if blob.state == "present":
                self._tally.finish(entry.digest, 0, entry.size)
            elif blob.parts:
                self._send_parts(upload.id, entry, blob.parts)
            elif blob.url is not None:
                headers = store_headers(blob.headers)
                self._put(entry, blob.url, 0, entry.size, headers=headers)
            else:
                self._refuse(f"says nowhere to send {entry.path} to")

    def _entry(self, blob: UploadBlob) -> FileEntry:
        entry = self._entries.get(blob.digest)
        if entry is None:
            self._refuse(
                f"asks for {blob.digest}, which {self._manifest.identity} does not have"
            )
        end = 0
        for part in blob.parts:
            if part.offset != end or part.size_bytes <= 0:
                self._refuse(f"cuts {entry.path} into parts that do not fit together")
            end += part.size_bytes
        if blob.parts and end != entry.size:
            self._refuse(f"cuts {entry.path} into parts of {end} bytes, not of all")
        return entry

    def _refuse(self, what: str) -> NoReturn:
        message = f"the registry at {self._session.url} {what}; nothing was published"
        raise RegistryError(message)

    def _send_parts(
        self, upload_id: str, entry: FileEntry, parts: Sequence[UploadPart]
    ) -> None:
        blob = f"/v1/uploads/{quote(upload_id, safe='')}/blobs/{entry.digest}"

        def work(part: UploadPart, stop: threading.Event) -> None:
            told = self._asked(f"{blob}/parts", entry, part, stop)
            headers = store_headers(told.headers)
            span = part.offset, part.size_bytes
            self._put(entry, told.url, *span, headers=headers, stop=stop)

        missing = []
        for part in parts:
            if part.state == "present":
                self._tally.finish(entry.digest, part.offset, part.size_bytes)
            else:
                missing.append(part)
        run_at_once(work, missing, workers=PARTS_AT_ONCE)

    def _asked(
        self, address: str, entry: FileEntry, part: UploadPart, stop: threading.Event
    ) -> PartAddress:
        """Where a part is to be sent: an address that takes the bytes of now only."""
        digest = hashlib.sha256()
        for chunk in self._chunks(entry, part.offset, part.size_bytes, stop):
            digest.update(chunk)
        named = {"number": part.number, "digest": f"sha256:{digest.hexdigest()}"}
        body = json_body({"parts": [named]})
        try:
            answer = self._session.ask(PartAddresses, "POST", address, body=body)
        except NotFoundError as error:
            # The transfer has ended: looking at the upload tells what goes on.
            raise AddressRefusedError(error.detail, status=error.status) from error
        if [told.number for told in answer.parts] != [part.number]:
            self._refuse(f"does not say where part {part.number} of {entry.path} goes")
        return answer.parts[0]

    def _chunks(
        self,
        entry: FileEntry,
        offset: int,
        size: int,
        stop: threading.Event | None = None,
    ) -> Iterator[bytes]:
        """A range of a file; less if the file is shorter than it was."""
        path = self._directory / entry.path
        with storage_errors(path, UNREADABLE), path.open("rb") as stream:
            stream.seek(offset)
            while size and (chunk := stream.read(min(CHUNK_BYTES, size))):
                if stop is not None and stop.is_set():
                    raise StoppedError
                self._watch()
                yield chunk
                size -= len(chunk)

    def _put(
        self,
        entry: FileEntry,
        url: str,
        offset: int,
        size: int,
        *,
        headers: Mapping[str, str] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Send a range of a file, the whole of it if that is the range."""

        def chunks() -> Iterator[bytes]:
            sent = 0
            for chunk in self._chunks(entry, offset, size, stop):
                yield chunk
                sent += len(chunk)
                self._tally.count(entry.digest, offset, sent)

        body = Body(BLOB_MEDIA_TYPE, size, chunks)
        self._session.send("PUT", url, headers=headers, body=body)
        self._tally.finish(entry.digest, offset, size)


def store_headers(given: Mapping[str, str]) -> dict[str, str]:
    """Of the headers a registry wants sent along, those that a store is to get."""
    return {
        name: value
        for name, value in given.items()
        if name.lower().startswith(STORE_HEADER)
    }


class StoppedError(Exception):
    """Another part has failed; this one need not be sent to its end."""


class Tally:
    """Adds up what has been sent, from any thread.

    Args:
        total: bytes in all.
        progress: called with bytes done and bytes in all.
    """

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._sent: dict[tuple[str, int], int] = {}
        self._whole: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    @property
    def pieces(self) -> int:
        """Blobs and parts that are whole where they belong."""
        return len(self._whole)

    def count(self, digest: str, offset: int, sent: int) -> None:
        """So many bytes of a piece have been sent in this attempt."""
        with self._lock:
            self._sent[digest, offset] = sent
            if self._progress:
                self._progress(sum(self._sent.values()), self._total)

    def finish(self, digest: str, offset: int, size: int) -> None:
        """A piece is whole where it belongs."""
        self._whole.add((digest, offset))
        self.count(digest, offset, size)


def run_at_once(
    work: Callable[[Item, threading.Event], None],
    items: Sequence[Item],
    *,
    workers: int,
) -> None:
    """Do something for every item, a few at once; the first error ends it all.

    The threads are not waited for after an error or an interrupt: one of them may be
    stuck in a connection that is dead, and none of them outlives the process.

    Args:
        work: called with an item, and what is set when it may stop.
        items: all of them.
        workers: how many at once.
    """
    todo: SimpleQueue[Item] = SimpleQueue()
    for item in items:
        todo.put(item)
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            try:
                work(todo.get_nowait(), stop)
            except Empty:
                return
            except BaseException as error:  # noqa: BLE001 - raised by the caller
                ended.put(error)
                return
            ended.put(None)

    for _ in range(min(workers, len(items))):
        threading.Thread(target=loop, daemon=True).start()
    try:
        for _ in items:
            error = ended.get()
            if error is not None:
                raise error
    finally:
        stop.set()
