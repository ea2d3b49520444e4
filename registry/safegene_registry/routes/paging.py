"""Pages of lists: their parameters, and the link to the next one."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Query, Request, Response

from safegene_registry.pages import decode_cursor
from safegene_registry.problems import public_base
from safegene_registry.routes.responses import Responses

MAX_LIMIT = 200
DEFAULT_LIMIT = 50

LimitParam = Annotated[
    int, Query(ge=1, le=MAX_LIMIT, description="at most so many entries")
]
CursorParam = Annotated[
    str | None,
    Query(max_length=800, description="`next_cursor` of the page before"),
]

LINKED: Responses = {
    200: {
        "headers": {
            "Link": {
                "description": 'The next page, as `<URL>; rel="next"`, if there is one',
                "schema": {"type": "string"},
            }
        }
    }
}
"""For the `responses` of a list."""


def after_text(cursor: str | None) -> str | None:
    """The name after which a page starts."""
    return None if cursor is None else decode_cursor(cursor, 1)[0]


def link_next(
    request: Request, response: Response, cursor: str | None, *, below: str = ""
) -> None:
    """Say in a header where the next page is (RFC 8288), if there is one.

    Args:
        request: for this page; its other parameters go for the next one, too.
        response: to this request.
        cursor: behind the last entry of this page; None: it is the last page.
        below: where the list itself is, relative to what was asked for.
    """
    if cursor is None:
        return
    kept = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
    query = urlencode([*kept, ("cursor", cursor)])
    url = f"{public_base(request)}{quote(request.url.path)}{below}?{query}"
    response.headers["Link"] = f'<{url}>; rel="next"'
