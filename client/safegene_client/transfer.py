"""Fetches one blob: only the ranges that are not here yet, proved before it is used.

The partial file is always a prefix of the blob, so an interrupted download goes on
where it stopped. Large blobs are fetched in pieces, several at once. Ranges whose
segment digests an older version has are copied from it. Whatever the bytes' way, the
whole blob is hashed while it is written, of large blobs by a thread.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import BinaryIO

import httpx

from safegene.artifact.digest import CHUNK_BYTES, Digest, VerifyingWriter
from safegene.artifact.hashing import HashedBeside
from safegene.artifact.manifest import Segment
from safegene.errors import (
    DigestMismatchError,
    RegistryError,
    SizeMismatchError,
    TransportError,
)
from safegene_client.ahead import Ahead
from safegene_client.session import Retries, Session
from safegene_client.storage import storage_errors

PIECE_BYTES = 8 << 20
PIECES_AT_ONCE = 4
LARGE_PIECES = 4
"""So many pieces make it worth while to fetch several at once."""

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/")


@dataclass(frozen=True)
class LocalRange:
    """Bytes that an older version on this machine holds."""

    path: Path
    offset: int


@dataclass(frozen=True)
class Blob:
    """What is to be fetched, and from where."""

    path: str
    """Address below the registry's."""
    name: str
    """What people call it."""
    digest: Digest
    size: int
    segments: Sequence[Segment] = ()
    donors: Mapping[str, LocalRange] | None = None
    """Where segments of known digest can be copied from."""
    piece_bytes: int = PIECE_BYTES
    """Of what is fetched in one request, where there are several at once."""


def fetch_blob(
    session: Session, blob: Blob, partial: Path, *, progress: Progress | None = None
) -> None:
    """Complete `partial` so that it holds exactly the blob.

    After an error of the network it keeps what came, for the next call; after any
    other error it is gone.

    Raises:
        TransportError: the registry could not be reached, however often it was tried.
        RegistryError: it refused.
        DigestMismatchError: it sent other bytes than it promised.
        SizeMismatchError: it sent more or fewer bytes than it promised.
        LocalStorageError: the disk is full or not writable.
    """
    fresh = not partial.exists() and not blob.donors
    try:
        _complete(session, blob, partial, progress)
    except (DigestMismatchError, SizeMismatchError):
        partial.unlink(missing_ok=True)
        if fresh:
            raise
    except (TransportError, KeyboardInterrupt):
        raise
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    else:
        return
    # What lay here may have been the wrong part: once more, with nothing old.
    clean = replace(blob, segments=(), donors=None)
    fetch_blob(session, clean, partial, progress=progress)


def _complete(
    session: Session, blob: Blob, partial: Path, progress: Progress | None
) -> None:
    many = blob.size >= LARGE_PIECES * blob.piece_bytes
    with (
        storage_errors(partial),
        partial.open("ab+") as stream,
        HashedBeside() if many else nullcontext() as state,
    ):
        have = stream.tell()
        writer = VerifyingWriter(
            _Resumed(stream, have),  # type: ignore[arg-type]  # only write is called
            digest=blob.digest,
            size=blob.size,
            name=blob.name,
            state=state,
        )
        stream.seek(0)
        for chunk in _chunks(stream, have):
            writer.write(chunk)
        _fill(session, blob, writer, progress or _silent)
        writer.finish()


def _fill(
    session: Session, blob: Blob, writer: VerifyingWriter, progress: Progress
) -> None:
    retries = Retries()
    while True:
        begun = writer.written
        try:
            for chunk in _missing(session, blob, begun):
                writer.write(chunk)
                progress(writer.written, blob.size)
        except TransportError as error:
            if writer.written > begun:
                retries.reset()
            retries.wait(error)
        else:
            return


def _missing(session: Session, blob: Blob, start: int) -> Iterator[bytes]:
    """The blob's bytes from `start` on, local ones where there are any."""
    for first, stop, local in _pieces(blob):
        begin = max(first, start)
        if begin >= stop:
            continue
        if local is None:
            yield from _remote(session, blob, begin, stop)
            continue
        with local.path.open("rb") as donor:
            donor.seek(local.offset + begin - first)
            yield from _chunks(donor, stop - begin)


def _pieces(blob: Blob) -> Iterator[tuple[int, int, LocalRange | None]]:
    """Ranges that tile the blob, and where each is; remote neighbors joined."""
    donors = blob.donors or {}
    begin = 0
    for segment in blob.segments:
        local = donors.get(segment.digest)
        if local is None:
            continue
        if begin < segment.offset:
            yield begin, segment.offset, None
        begin = segment.offset + segment.size
        yield segment.offset, begin, local
    if begin < blob.size:
        yield begin, blob.size, None


def _remote(session: Session, blob: Blob, begin: int, stop: int) -> Iterator[bytes]:
    """Bytes from the registry; of large blobs several pieces at once."""
    piece = blob.piece_bytes
    end = min(begin + piece, stop) if stop - begin >= LARGE_PIECES * piece else stop
    with _asked(session, blob, blob.path, begin, end) as response:
        if response.status_code != HTTPStatus.PARTIAL_CONTENT:
            end = stop  # ranges are ignored: all of it comes in this answer
        pieces = [(at, min(at + piece, stop)) for at in range(end, stop, piece)]
        # Where the registry sends us, without asking it again for every piece.
        place = str(response.url)

        def fetch(first: int, last: int, ended: Event) -> list[bytes]:
            found = []
            with _asked(session, blob, place, first, last) as answer:
                for chunk in _taken(answer, blob, first, last):
                    if ended.is_set():
                        break
                    found.append(chunk)
            return found

        with Ahead(fetch, pieces, PIECES_AT_ONCE) if pieces else nullcontext() as ahead:
            yield from _taken(response, blob, begin, end)
            if ahead is not None:
                yield from ahead.chunks()


def _asked(
    session: Session, blob: Blob, path: str, begin: int, stop: int
) -> AbstractContextManager[httpx.Response]:
    # Bytes as stored: an encoded body would have other ranges.
    headers = {"Accept-Encoding": "identity"}
    if (begin, stop) != (0, blob.size):
        headers["Range"] = f"bytes={begin}-{stop - 1}"
        headers["If-Range"] = f'"{blob.digest}"'
    return session.stream("GET", path, headers=headers)


def _taken(
    response: httpx.Response, blob: Blob, begin: int, stop: int
) -> Iterator[bytes]:
    """The bytes asked for, of what came."""
    skip, left = begin - _first_byte(response, blob, begin), stop - begin
    for chunk in response.iter_raw():
        if left == 0:
            break  # a server that ignores ranges goes on to the end
        wanted = chunk[skip : skip + left]
        skip = max(0, skip - len(chunk))
        left -= len(wanted)
        if wanted:
            yield wanted
    if left:
        message = f"{blob.name}: the connection ended {left} bytes early"
        raise TransportError(message)


def _first_byte(response: httpx.Response, blob: Blob, begin: int) -> int:
    """Where in the blob the answer begins: the range asked for, or the whole."""
    if response.status_code != HTTPStatus.PARTIAL_CONTENT:
        return 0
    given = response.headers.get("content-range", "")
    match = _CONTENT_RANGE.match(given)
    if match is None or int(match[1]) != begin:
        message = f"{blob.name}: asked for the bytes from {begin} on, got {given!r}"
        raise RegistryError(message, status=response.status_code)
    return begin


class _Resumed:
    """Swallows the bytes that the file holds already and appends the others."""

    def __init__(self, stream: BinaryIO, have: int) -> None:
        self._stream = stream
        self._swallow = have

    def write(self, chunk: bytes) -> None:
        if self._swallow:
            self._swallow -= len(chunk)
        else:
            self._stream.write(chunk)


def _chunks(stream: BinaryIO, count: int) -> Iterator[bytes]:
    while count and (chunk := stream.read(min(count, CHUNK_BYTES))):
        count -= len(chunk)
        yield chunk


def _silent(done: int, total: int) -> None:
    """The progress nobody asked for."""
