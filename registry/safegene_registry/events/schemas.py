"""Events as the interface shows them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from safegene_registry.schemas import Schema


class EventDetail(Schema):
    """Something that has happened in a namespace."""

    namespace: str
    position: int
    """1, 2, 3 … in each namespace, in the order in which changes were committed."""
    kind: str
    """What has happened. There will be more kinds: pass over those you do not know."""
    at: datetime
    vector: str | None
    """Name of the vector within the namespace, if it is about one."""
    version: str | None
    details: dict[str, Any]
    """What else there is to say, by kind."""
    actor: str | None
    """The account that did it; null for all but owners."""
    token_id: UUID | None
    """The token that was used; null for all but owners."""
    previous: str | None
    """Digest of the event before; null: this is the first."""
    digest: str
    """Of the canonical JSON of the event's other members."""


class EventPage(Schema):
    """Events behind a position, in their order."""

    items: list[EventDetail]
    last: int
    """What to ask for as `after` next: nothing up to it was left out."""
    more: bool
    """Whether there are more behind it now."""
