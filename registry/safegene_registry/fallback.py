"""Reads of what is not here wait until it has been fetched from the upstream registry.

Stands before the application, which then answers as if it had always been here, or says
that it is not.
"""

import asyncio
import re
from urllib.parse import parse_qs

from anyio.to_thread import run_sync
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from safegene.artifact.digest import Digest
from safegene.artifact.reference import VectorName, canonical_version
from safegene.errors import InvalidReferenceError
from safegene_registry.addresses import address_key
from safegene_registry.care.pull_through import PullThrough, Wanted, unavailable
from safegene_registry.guards import count
from safegene_registry.problems import ProblemError, problem_response

METHODS = frozenset({"GET", "HEAD"})
PATH = re.compile(
    "/v1/vectors/(?P<namespace>[^/]+)/(?P<name>[^/]+)/"
    "(?:resolve|versions/(?P<version>[^/]+)"
    "(?:/manifest|/files/[^/]+|/attestations(?:/[^/]+)?)?)"
)


class Fallback:
    """Has what a read asks for fetched first, where it is not here.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Fetch, and hand on."""
        wanted = wanted_by(scope)
        if wanted is not None:
            request = Request(scope)
            through: PullThrough = request.app.state.pull_through
            try:
                await fetched(through, wanted, request)
            except ProblemError as problem:
                await problem_response(request, problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def wanted_by(scope: Scope) -> Wanted | None:
    """The one version that a request reads; None: it does something else."""
    if scope["type"] != "http" or scope["method"] not in METHODS:
        return None
    match = PATH.fullmatch(scope["path"])
    if match is None:
        return None
    try:
        vector = VectorName(match["namespace"], match["name"])
        if match["version"] is not None:
            return Wanted(vector, canonical_version(match["version"]))
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=10)
        if set(query) != {"digest"}:
            return None
        (digest,) = query["digest"]
        return Wanted(vector, None, Digest.parse(digest))
    except (InvalidReferenceError, ValueError):
        return None


async def fetched(through: PullThrough, wanted: Wanted, request: Request) -> None:
    """Wait until a version is here, if it was not and can be had.

    Raises:
        ProblemError: `upstream-unavailable`, `upstream-invalid` or `rate-limited`.
    """
    if not await run_sync(through.lacks, wanted):
        return
    # What costs most counts twice: here, and where it is answered.
    host = request.client.host if request.client else None
    count(through.services.limiter, f"address {address_key(host)}")
    coming = asyncio.wrap_future(through.begin(wanted))
    # Nobody may wait any more when it fails.
    coming.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        async with asyncio.timeout(through.seconds):
            # Others wait for it as well, and who comes again.
            await asyncio.shield(coming)
    except TimeoutError:
        why = f"it is being fetched for more than {through.seconds:g} s"
        raise unavailable(wanted, why) from None
