"""Answers that carry bytes: conditions, one range, immutable caching.

Written out rather than taken from Starlette's own `FileResponse`, which answers a
malformed or unsatisfiable range in plain text, sends several ranges as multipart (no
client of ours can use that) and derives validators from the file's time.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from safegene_registry.file_response import FileResponse
from safegene_registry.problems import ProblemError

CHUNK_BYTES = 1 << 20
IMMUTABLE = "max-age=31536000, immutable"
RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE | re.ASCII)
MAX_DIGITS = 18
"""Longer numbers lie past the end of any file and cost time to read."""


class Readable(Protocol):
    """Gives bytes, front to back."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that never change."""

    digest: str
    size: int
    media_type: str
    open: Callable[[int], AbstractContextManager[Readable]]
    """Reads from this byte on."""
    open_file: Callable[[], AbstractContextManager[BinaryIO]] | None = None
    """Opens the file that holds them, where there is one."""


def content_response(
    request: Request, content: Content, *, is_public: bool
) -> Response:
    """Answer a GET or HEAD for immutable bytes.

    Args:
        request: with its conditions.
        content: the bytes.
        is_public: whether caches between us and the caller may give them to others.

    Raises:
        ProblemError: `range-not-satisfiable`.
    """
    headers = entity_headers(content, is_public=is_public)
    if is_known(request, content):
        return Response(status_code=304, headers=headers)
    span = wanted_span(request, content)
    start, stop = span or (0, content.size)
    headers["Content-Length"] = str(stop - start)
    status = 200
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
        status = 206
    if request.method == "HEAD":
        return Response(
            status_code=status, headers=headers, media_type=content.media_type
        )
    if content.open_file is not None:
        return FileResponse(
            content.open_file(),
            start,
            stop,
            status_code=status,
            headers=headers,
            media_type=content.media_type,
        )
    return StreamingResponse(
        read_span(content, start, stop),
        status_code=status,
        headers=headers,
        media_type=content.media_type,
    )


def redirect_response(
    request: Request, content: Content, url: str, *, is_public: bool
) -> Response:
    """Send a GET for immutable bytes to where they are; the range goes with it.

    Args:
        request: with its conditions.
        content: what is asked for.
        url: an address that works for a while, for whoever holds it.
        is_public: whether caches between us and the caller may give the bytes to
            others; the address is nobody else's in any case.

    Raises:
        ProblemError: `range-not-satisfiable`.
    """
    if is_known(request, content):
        headers = entity_headers(content, is_public=is_public)
        return Response(status_code=304, headers=headers)
    wanted_span(request, content)
    return Response(
        status_code=307, headers={"Location": url, "Cache-Control": "no-store"}
    )


def entity_headers(content: Content, *, is_public: bool) -> dict[str, str]:
    """What every answer with the bytes, or instead of them, says of them."""
    return {
        "ETag": f'"{content.digest}"',
        "Cache-Control": cache_control(is_public=is_public),
        "Accept-Ranges": "bytes",
    }


def cache_control(*, is_public: bool) -> str:
    """How bytes that never change may be cached."""
    return f"{'public' if is_public else 'private'}, {IMMUTABLE}"


def is_known(request: Request, content: Content) -> bool:
    """Whether the caller has the bytes already."""
    return names_etag(request.headers.get("if-none-match"), f'"{content.digest}"')


def wanted_span(request: Request, content: Content) -> tuple[int, int] | None:
    """The range to be sent, None when the whole is.

    Raises:
        ProblemError: `range-not-satisfiable`.
    """
    etag = f'"{content.digest}"'
    if request.method != "GET" or request.headers.get("if-range", etag) != etag:
        return None
    return parse_range(request.headers.get("range"), content.size)


def names_etag(condition: str | None, etag: str) -> bool:
    """Whether an If-None-Match names the entity, by weak comparison."""
    if condition is None:
        return False
    tags = (tag.strip().removeprefix("W/") for tag in condition.split(","))
    return any(tag in ("*", etag) for tag in tags)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The range asked for, as start and stop.

    Returns:
        None when the whole is to be sent: no range, several, or a malformed one, all of
        which RFC 9110 section 14.2 lets a server ignore.

    Raises:
        ProblemError: the range lies outside the file.
    """
    match = RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or match[0].endswith("=-"):
        return None
    first, last = (
        10**MAX_DIGITS if len(digits) > MAX_DIGITS else int(digits) if digits else None
        for digits in match.groups()
    )
    if first is None:
        start, stop = max(size - (last or 0), 0), size
    elif last is None:
        start, stop = first, size
    elif last < first:
        return None
    else:
        start, stop = first, min(last + 1, size)
    if start >= size:
        detail = f"The file has {size} bytes; the range {header!r} starts past its end."
        raise ProblemError(
            detail,
            "range-not-satisfiable",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, stop


def read_span(content: Content, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from start to stop, in chunks."""
    with content.open(start) as file:
        while start < stop:
            chunk = file.read(min(CHUNK_BYTES, stop - start))
            if not chunk:
                # The connection breaks off: a short answer must not look whole.
                raise EOFError(content.digest)
            start += len(chunk)
            yield chunk
