"""Reads of what is public, for callers without a token: one statement, one thread.

Most requests are such, and of what they cost most was for questions whose answer is
known: who is asking, and what he may do. A `PublicRoute` looks here first. Whatever
differs in any way (a token, a private namespace, something that is not there, further
parameters) is left to the route's own guard and handler, which also have the words for
refusals. So only one rule is repeated here: everybody may read a public namespace.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.routing import APIRoute

from safegene.artifact.reference import VectorName, best_version, canonical_version
from safegene.errors import InvalidReferenceError
from safegene_registry import public_repository
from safegene_registry.addresses import address_key
from safegene_registry.blob_downloads import file_answer, file_content
from safegene_registry.catalog import LATEST, file_address, yanked_since
from safegene_registry.conditional import tagged_response
from safegene_registry.file_response import FileResponse
from safegene_registry.guards import count
from safegene_registry.schemas import FileDetail, VersionDetail
from safegene_registry.services import Services

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Reader = Callable[[Request, Services, VectorName], Response | None]
"""Answers, or leaves the request to the route."""

READERS: dict[Callable[..., Any], Reader] = {}


def read_by(reader: Reader) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Have public reads of an endpoint answered by `reader` where it can."""

    def register(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        READERS[endpoint] = reader
        return endpoint

    return register


class PublicRoute(APIRoute):
    """A route that answers public reads before anything else is asked."""

    def get_route_handler(self) -> Handler:
        """The handler, with the shorter way before it."""
        regular = super().get_route_handler()
        reader = READERS.get(self.endpoint)
        if reader is None:
            return regular

        async def handle(request: Request) -> Response:
            if "authorization" not in request.headers:
                answer = await run_sync(read, reader, request)
                if answer is not None:
                    return answer
            return await regular(request)

        return handle


def read(reader: Reader, request: Request) -> Response | None:
    """Try the shorter way.

    Raises:
        ProblemError: `rate-limited`.
        StorageError: the file cannot be opened.
    """
    services: Services = request.app.state.services
    given = request.path_params
    try:
        vector = VectorName(given["namespace"], given["name"])
        answer = reader(request, services, vector)
    except InvalidReferenceError:
        return None
    if answer is not None:
        # What is left to the route is counted there.
        host = request.client.host if request.client else None
        count(services.limiter, f"address {address_key(host)}")
    if isinstance(answer, FileResponse):
        answer.open()
    return answer


def read_version(
    request: Request, services: Services, vector: VectorName
) -> Response | None:
    """One version and its files."""
    version = canonical_version(request.path_params["version"])
    with services.database.looking_up() as session:
        rows = public_repository.version_rows(session, vector, version)
    return version_answer(request, vector, rows) if rows else None


def read_newest(
    request: Request, services: Services, vector: VectorName
) -> Response | None:
    """The newest version, for who names none."""
    if request.url.query not in ("", f"alias={LATEST}"):
        return None
    with services.database.looking_up() as session:
        rows = public_repository.head_rows(session, vector)
    newest = best_version([row.version for row in rows], None)
    found = [row for row in rows if row.version == newest]
    return version_answer(request, vector, found) if found else None


def read_file(
    request: Request, services: Services, vector: VectorName
) -> Response | None:
    """One file of a version, whole or one range of it."""
    given = request.path_params
    version, path = canonical_version(given["version"]), given["path"]
    with services.database.looking_up() as session:
        row = public_repository.file_row(session, vector, version, path)
    if row is None:
        return None
    found = file_content(services, row.file_digest, row.file_bytes)
    return file_answer(request, services, found, path, is_public=True)


def version_answer(request: Request, vector: VectorName, rows: Any) -> Response:
    """A version as the interface shows it, from a row for each file."""
    first = rows[0]
    detail = VersionDetail(
        namespace=vector.namespace,
        name=vector.name,
        version=first.version,
        digest=first.digest,
        size_bytes=first.size_bytes,
        yanked=yanked_since(first.yanked_at, first.yank_reason),
        files=[
            FileDetail(
                path=row.path,
                digest=row.file_digest,
                size_bytes=row.file_bytes,
                url=file_address(vector, first.version, row.path),
            )
            for row in rows
        ],
    )
    return tagged_response(request, detail, is_public=True)
