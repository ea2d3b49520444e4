"""Pages of lists: their parameters, and the link to the next one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Request, Response

from safegene_registry.pages import decode_cursor, encode_cursor
from safegene_registry.problems import public_base
from safegene_registry.routes.responses import TAGGED, Responses

Entry = TypeVar("Entry")

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

TAGGED_LIST: Responses = {
    **TAGGED,
    200: {"headers": {**LINKED[200]["headers"], **TAGGED[200]["headers"]}},
}
"""For those of a list that is answered with `conditional.tagged_list`."""


@dataclass(frozen=True, slots=True)
class Page:
    """The page of a list that a request asks for.

    Args:
        request: for the page.
        response: to it.
        limit: at most so many entries.
        cursor: of the page before; None: it is the first page.
    """

    request: Request
    response: Response
    limit: int
    cursor: str | None

    @property
    def after(self) -> str | None:
        """The key after which the page starts, of a list sorted by one text.

        Raises:
            ProblemError: `invalid-request`.
        """
        return None if self.cursor is None else decode_cursor(self.cursor, 1)[0]

    @property
    def probe(self) -> int:
        """How many entries to look for: one more tells whether there is a next page."""
        return self.limit + 1

    def next(self, found: Sequence[Entry], key: Callable[[Entry], str]) -> str | None:
        """The cursor of the next page, said in the answer's header as well.

        Args:
            found: the entries, `probe` of them if there are as many.
            key: what the list is sorted by, of an entry.

        Returns:
            None: this page is the last one.
        """
        more = len(found) > self.limit
        cursor = encode_cursor(key(found[self.limit - 1])) if more else None
        self.link(cursor)
        return cursor

    def link(self, cursor: str | None) -> None:
        """Say in the answer's header where the next page is, if there is one."""
        link_next(self.request, self.response, cursor)


async def asked_page(
    request: Request,
    response: Response,
    limit: LimitParam = DEFAULT_LIMIT,
    cursor: CursorParam = None,
) -> Page:
    """What a request says of the page."""
    return Page(request, response, limit, cursor)


PageDep = Annotated[Page, Depends(asked_page)]


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
