"""Webhooks of a namespace: where its events are sent."""

from uuid import UUID

from fastapi import APIRouter, Response, status

from safegene_registry.guards import Manager, NamespacePath
from safegene_registry.models import DeadLetter, Webhook
from safegene_registry.pages import wrong_cursor
from safegene_registry.routes.media import keep_out_of_caches
from safegene_registry.routes.paging import LINKED, PageDep
from safegene_registry.services import ServicesDep
from safegene_registry.webhooks import managing, webhook_repository
from safegene_registry.webhooks.schemas import (
    DeadLetterDetail,
    DeadLetterPage,
    NewWebhook,
    Replayed,
    ReplayRequest,
    WebhookDetail,
    WebhookPage,
    WebhookRequest,
)

router = APIRouter(prefix="/v1/namespaces/{namespace}/webhooks", tags=["webhooks"])


@router.get("", responses=LINKED)
def list_webhooks(
    services: ServicesDep, _access: Manager, namespace: NamespacePath, page: PageDep
) -> WebhookPage:
    """Where events are sent, and how far each has got."""
    after = page.after
    try:
        last = None if after is None else UUID(after)
    except ValueError as error:
        raise wrong_cursor() from error
    with services.database.reading() as session:
        found = webhook_repository.list_webhooks(
            session, namespace, after=last, limit=page.probe
        )
        items = [WebhookDetail(**members(row)) for row in found[: page.limit]]
    following = page.next(found, lambda row: str(row.id))
    return WebhookPage(items=items, next_cursor=following)


@router.post("", status_code=status.HTTP_201_CREATED)
def add_webhook(
    response: Response,
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    wanted: WebhookRequest,
) -> NewWebhook:
    """Send what happens from now on to an address; the secret is shown once."""
    keep_out_of_caches(response)
    with services.database.writing() as session:
        webhook = managing.add_webhook(
            services, session, namespace, wanted.url, by=access.caller
        )
        return NewWebhook(**members(webhook), secret=webhook.secret)


@router.delete("/{webhook_id}", status_code=status.HTTP_204_NO_CONTENT)
def remove_webhook(
    services: ServicesDep, access: Manager, namespace: NamespacePath, webhook_id: UUID
) -> None:
    """Send nothing there any more."""
    with services.database.writing() as session:
        managing.remove_webhook(session, namespace, webhook_id, by=access.caller)


@router.get("/{webhook_id}/dead-letters", responses=LINKED)
def list_dead_letters(
    services: ServicesDep,
    _access: Manager,
    namespace: NamespacePath,
    webhook_id: UUID,
    page: PageDep,
) -> DeadLetterPage:
    """What was not taken, however often it was sent."""
    after = page.after or "0"
    if not (after.isdecimal() and after.isascii() and int(after) < 2**31):
        raise wrong_cursor()
    with services.database.reading() as session:
        managing.find_webhook(session, namespace, webhook_id)
        found = webhook_repository.list_dead_letters(
            session, webhook_id, after=int(after), limit=page.probe
        )
        items = [dead_letter(row) for row in found[: page.limit]]
    following = page.next(found, lambda row: str(row.position))
    return DeadLetterPage(items=items, next_cursor=following)


@router.post("/{webhook_id}/replay")
def replay(
    services: ServicesDep,
    _access: Manager,
    namespace: NamespacePath,
    webhook_id: UUID,
    wanted: ReplayRequest,
) -> Replayed:
    """Send dead letters once more, and what waits for its next attempt, at once."""
    with services.database.writing() as session:
        count = managing.replay(session, namespace, webhook_id, wanted.position)
    return Replayed(count=count)


def members(webhook: Webhook) -> dict[str, object]:
    """What there is to show of a webhook; never its secret."""
    return {name: getattr(webhook, name) for name in WebhookDetail.model_fields}


def dead_letter(row: DeadLetter) -> DeadLetterDetail:
    """A dead letter as the interface shows it."""
    return DeadLetterDetail(
        position=row.position,
        failed_at=row.failed_at,
        error=row.error,
        due=row.is_due,
    )
