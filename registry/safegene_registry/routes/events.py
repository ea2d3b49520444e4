"""What has happened in a namespace: page by page, and as it happens."""

from typing import Annotated, cast

from fastapi import APIRouter, Header, Query, Request, Response

from safegene_registry.addresses import address_key
from safegene_registry.events.feed import (
    ahead,
    event_page,
    read_batch,
    sees_everything,
)
from safegene_registry.events.live import Live
from safegene_registry.events.schemas import EventPage
from safegene_registry.events.streaming import MAX_SECONDS, MEDIA_TYPE, EventStream
from safegene_registry.guards import Access, NamespacePath, NamespaceReader
from safegene_registry.routes.paging import DEFAULT_LIMIT, LimitParam
from safegene_registry.routes.responses import problems
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1/namespaces/{namespace}/events", tags=["events"])

MAX_POSITION = 2**31 - 1

SENT_SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "data": {"type": "string"}},
}
"""One event of a stream; `data` is an `EventDetail` as JSON."""

AfterParam = Annotated[
    int,
    Query(
        ge=0,
        le=MAX_POSITION,
        description="position behind which to begin: `last` of the page before",
    ),
]


@router.get("")
def list_events(
    services: ServicesDep,
    access: NamespaceReader,
    namespace: NamespacePath,
    after: AfterParam = 0,
    limit: LimitParam = DEFAULT_LIMIT,
) -> EventPage:
    """What has happened, the oldest first; owners see members and tokens as well."""
    everything = sees_everything(access)
    batch = read_batch(
        services.database, namespace, after=after, limit=limit, everything=everything
    )
    return event_page(batch, everything=everything)


@router.get(
    "/stream",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events: `id` is the position, `data` the event",
            "content": {MEDIA_TYPE: {"schema": SENT_SCHEMA}},
        },
        **problems("rate-limited"),
    },
)
async def stream_events(
    request: Request,
    access: NamespaceReader,
    namespace: NamespacePath,
    *,
    last_event_id: Annotated[
        int | None,
        Header(ge=0, le=MAX_POSITION, description="the last `id`; before `after`"),
    ] = None,
    after: AfterParam | None = None,
    seconds: Annotated[
        int, Query(ge=0, le=MAX_SECONDS, description="how long it may last")
    ] = MAX_SECONDS,
) -> Response:
    """What happens from now on, or behind a position, as server-sent events.

    A stream ends from time to time, with the token that began it, and where rights in
    the namespace change; come again with `Last-Event-ID`, and nothing is missed.
    """
    live = cast("Live", request.app.state.live)
    caller = caller_key(request, access)
    live.check_room(caller)
    principal = access.standing.principal
    last = await live.last(namespace)
    behind = after if last_event_id is None else last_event_id
    if behind is not None and behind > last:
        raise ahead(namespace, behind, last)
    return EventStream(
        live,
        namespace,
        caller,
        after=last if behind is None else behind,
        last=last,
        everything=sees_everything(access),
        seconds=seconds,
        token_id=None if principal is None else principal.token_id,
    )


def caller_key(request: Request, access: Access) -> str:
    """Who listens: an account, or else an address."""
    principal = access.standing.principal
    if principal is not None:
        return f"account {principal.account_id}"
    return f"address {address_key(request.client.host if request.client else None)}"
