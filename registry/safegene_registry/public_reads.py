"""Reads of what is public, for callers without a token: one statement, one thread.

Most requests are such, and most of what they cost was for questions whose answer is
known: which of all routes is meant, who is asking, and what he may do. `PublicReads`
stands before the application. Whatever differs in any way (a token, a private vector,
something that is not there, further parameters) is left to the route's own guard and
handler, which also have the words for refusals. So only one rule is repeated here:
everybody may read a public namespace.

The database is asked every time. What follows from its rows and nothing else is kept:
the text of an answer, the newest of some versions.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from safegene.artifact.reference import VectorName, best_version, canonical_version
from safegene.errors import InvalidReferenceError
from safegene_registry import public_repository
from safegene_registry.addresses import address_key
from safegene_registry.blob_downloads import file_answer, file_content
from safegene_registry.catalog import LATEST, file_address, yanked_since
from safegene_registry.conditional import Tagged, tagged, tagged_response
from safegene_registry.file_response import FileResponse
from safegene_registry.guards import count
from safegene_registry.problems import ProblemError, problem_response
from safegene_registry.public_repository import FileRow
from safegene_registry.schemas import FileDetail, VersionDetail
from safegene_registry.services import Services

Reader = Callable[[Request, Services], Response | None]
"""Answers, or leaves the request to the route."""

ALIAS = re.compile(rb"alias=([a-z][a-z0-9._-]{0,63})")
NEWEST = f"alias={LATEST}".encode()
"""What no question at all stands for."""

canonical = lru_cache(maxsize=1024)(canonical_version)
newest_of = lru_cache(maxsize=1024)(best_version)

READERS: dict[Callable[..., Any], Reader] = {}


def read_by(reader: Reader) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Have public reads of an endpoint answered by `reader` where it can."""

    def register(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        READERS[endpoint] = reader
        return endpoint

    return register


class PublicReads:
    """Answers what the readers can, and hands on everything else.

    Args:
        app: the application.
        routes: those of the endpoints that have readers, and others.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self.ways = [
            (route, READERS[route.endpoint])
            for route in routes
            if isinstance(route, APIRoute) and route.endpoint in READERS
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        answer = None
        if scope["type"] == "http" and is_open(scope):
            answer = await self.find_answer(scope)
        if answer is None:
            await self.app(scope, receive, send)
        else:
            await answer(scope, receive, send)

    async def find_answer(self, scope: Scope) -> Response | None:
        """The answer, if the path is one of those that have a reader who knows it."""
        for route, reader in self.ways:
            match = route.path_regex.match(scope["path"])
            if match is None:
                continue
            # As the router says it, which says it anew if the request is handed on.
            scope["route"], scope["path_params"] = route, match.groupdict()
            request = Request(scope)
            try:
                return await run_sync(read, reader, request)
            except ProblemError as problem:
                return problem_response(request, problem)
        return None


def is_open(scope: Scope) -> bool:
    """Whether a request reads, and tells nothing of who is asking."""
    return (
        scope["method"] == "GET"
        and not scope.get("root_path")
        and all(name != b"authorization" for name, _ in scope["headers"])
    )


def read(reader: Reader, request: Request) -> Response | None:
    """Try the shorter way.

    Raises:
        ProblemError: `rate-limited`.
        StorageError: the file cannot be opened.
    """
    services: Services = request.app.state.services
    try:
        answer = reader(request, services)
    except InvalidReferenceError:
        return None
    if answer is not None:
        # What is left to the route is counted there.
        host = request.client.host if request.client else None
        count(services.limiter, f"address {address_key(host)}")
    if isinstance(answer, FileResponse):
        answer.open()
    return answer


def vector_of(request: Request) -> VectorName:
    """The vector that the path names.

    Raises:
        InvalidReferenceError: none can be called so.
    """
    given = request.path_params
    return VectorName(given["namespace"], given["name"])


def read_version(request: Request, services: Services) -> Response | None:
    """One version and its files."""
    vector = vector_of(request)
    version = canonical(request.path_params["version"])
    rows = public_repository.version_rows(services.database, vector, version)
    if not rows or rows[0].has_notices:
        return None
    return tagged_response(request, version_text(vector, *rows), is_public=True)


def read_resolved(request: Request, services: Services) -> Response | None:
    """The newest version, for who names none, or what an alias points at."""
    vector = vector_of(request)
    alias = ALIAS.fullmatch(request.scope["query_string"] or NEWEST)
    if alias is None:
        return None
    name = alias[1].decode()
    if name == LATEST:
        rows = public_repository.head_rows(services.database, vector)
        newest = newest_of(tuple(row.version for row in rows), None)
        found = [row for row in rows if row.version == newest]
    else:
        found = public_repository.alias_rows(services.database, vector, name)
    if not found or found[0].has_notices:
        return None
    return tagged_response(request, version_text(vector, *found), is_public=True)


def read_file(request: Request, services: Services) -> Response | None:
    """One file of a version, whole or one range of it."""
    vector, given = vector_of(request), request.path_params
    version, path = canonical(given["version"]), given["path"]
    row = public_repository.file_row(services.database, vector, version, path)
    if row is None:
        return None
    found = file_content(services, row.file_digest, row.file_bytes)
    return file_answer(request, services, found, path, is_public=True)


@lru_cache(maxsize=1024)
def version_text(vector: VectorName, *rows: FileRow) -> Tagged:
    """A version as the interface shows it, from a row for each file."""
    first = rows[0]
    return tagged(
        VersionDetail(
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
    )
