"""Answers in JSON that change seldom: tagged, so that asking again costs little.

They may be kept, and are asked about every time: a version can be yanked, a range can
mean another version tomorrow. Bytes that never change are `downloads`' part.
"""

from typing import NamedTuple

from fastapi import Request, Response
from pydantic import BaseModel

from safegene.artifact.digest import digest_bytes
from safegene_registry.access import Reader
from safegene_registry.downloads import names_etag

REVALIDATE = "no-cache"
"""Keep it, and ask before using it."""


class Tagged(NamedTuple):
    """An answer's text, and what tells it from others."""

    text: bytes
    etag: str


def tagged(body: BaseModel) -> Tagged:
    """Write an answer out."""
    text = body.model_dump_json().encode()
    return Tagged(text, f'"{digest_bytes(text)}"')


def tagged_list(
    request: Request, body: BaseModel | Tagged, *, reader: Reader
) -> Response:
    """The same of what depends on who asks: it holds what they may read.

    Args:
        request: with its conditions.
        body: of the answer.
        reader: who asks; what nobody in particular gets may be given to others who
            send no token.
    """
    answer = tagged_response(request, body, is_public=reader == Reader())
    answer.headers["Vary"] = "Authorization"
    return answer


def tagged_response(
    request: Request, body: BaseModel | Tagged, *, is_public: bool
) -> Response:
    """Answer a GET with JSON, or with 304 if the caller has it already.

    Args:
        request: with its conditions.
        body: of the answer.
        is_public: whether caches between us and the caller may give it to others.
    """
    text, etag = body if isinstance(body, Tagged) else tagged(body)
    who = "public" if is_public else "private"
    headers = {"ETag": etag, "Cache-Control": f"{who}, {REVALIDATE}"}
    if names_etag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(text, headers=headers, media_type="application/json")
