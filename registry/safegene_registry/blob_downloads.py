"""Blobs as answers: sent from here, or by who keeps them."""

from functools import partial

from fastapi import Request, Response

from safegene.artifact.digest import Digest
from safegene_registry.downloads import (
    Content,
    cache_control,
    content_response,
    redirect_response,
)
from safegene_registry.services import Services

FILE_MEDIA_TYPE = "application/octet-stream"


def file_content(services: Services, digest: str, size: int) -> Content:
    """The bytes of a file, wherever the store has them."""
    parsed, open_file = Digest.parse(digest), services.store.open_file
    return Content(
        digest=digest,
        size=size,
        media_type=FILE_MEDIA_TYPE,
        open=lambda start: services.store.open(parsed, start=start),
        open_file=None if open_file is None else partial(open_file, parsed),
    )


def file_answer(
    request: Request, services: Services, found: Content, name: str, *, is_public: bool
) -> Response:
    """Answer a GET for a file.

    Args:
        request: with its conditions.
        services: the process's parts.
        found: the file.
        name: what a browser would save it as.
        is_public: whether caches between us and the caller may give it to others.

    Raises:
        ProblemError: `range-not-satisfiable`.
        StorageError: the blob is missing, or cannot be asked for now.
    """
    digest, direct = Digest.parse(found.digest), services.store.direct
    if direct is None:
        services.store.check(digest, found.size)
        return content_response(request, found, is_public=is_public)
    url = direct.download(
        digest,
        name=name,
        media_type=found.media_type,
        cache_control=cache_control(is_public=is_public),
    )
    return redirect_response(request, found, url, is_public=is_public)
