"""Webhooks as the interface shows them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from safegene_registry.schemas import Schema
from safegene_registry.webhooks.targets import MAX_URL


class WebhookRequest(Schema):
    """Where to send events to from now on."""

    url: Annotated[str, Field(min_length=1, max_length=MAX_URL)]
    """An https address on the open internet."""


class WebhookDetail(Schema):
    """Where the events of a namespace are sent to."""

    id: UUID
    url: str
    created_at: datetime
    position: int
    """Position of the last event that is done with."""
    attempts: int
    """How often sending the next one has failed."""
    error: str | None
    """Why it failed the last time; null: it did not."""
    retry_at: datetime | None
    """When it is tried again; null: at once."""


class NewWebhook(WebhookDetail):
    """A webhook that was just made."""

    secret: str
    """What deliveries are signed with. Nobody can read it again."""


class WebhookPage(Schema):
    """A page of webhooks, by id."""

    items: list[WebhookDetail]
    next_cursor: str | None


class DeadLetterDetail(Schema):
    """An event that was not taken, and is not sent any more."""

    position: int
    failed_at: datetime
    error: str
    due: bool
    """Whether it will be sent once more."""


class DeadLetterPage(Schema):
    """A page of dead letters, by position."""

    items: list[DeadLetterDetail]
    next_cursor: str | None


class ReplayRequest(Schema):
    """What to send once more."""

    position: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None
    """Of the event; null: every dead letter."""


class Replayed(Schema):
    """What will be sent once more."""

    count: int
