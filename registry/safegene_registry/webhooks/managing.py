"""Making, listing and ending webhooks, and sending once more what was not taken."""

from uuid import UUID

from sqlalchemy.orm import Session

from safegene_registry.access import Principal
from safegene_registry.events import event_repository
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.membership import find_namespace
from safegene_registry.models import Webhook
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.services import Services
from safegene_registry.webhooks import webhook_repository
from safegene_registry.webhooks.sending import new_secret
from safegene_registry.webhooks.targets import (
    TargetError,
    check_literal,
    parse_target,
)

MAX_WEBHOOKS = 20
"""Of one namespace: each event is sent to all of them."""


def add_webhook(
    services: Services, session: Session, namespace: str, url: str, *, by: Principal
) -> Webhook:
    """Send what happens from now on to an address.

    A name is not looked up here: it is whenever something is sent, and only that
    counts.

    Raises:
        ProblemError: `invalid-request`: it is none that a webhook may have, or the
            namespace has too many.
    """
    find_namespace(session, namespace, lock=True)
    try:
        target = parse_target(url, allow_http=services.settings.webhook_allow_http)
        check_literal(target.host, services.settings.webhook_networks)
    except TargetError as error:
        raise refused(str(error)) from error
    if webhook_repository.count_webhooks(session, namespace) >= MAX_WEBHOOKS:
        reason = f"{namespace} has {MAX_WEBHOOKS} webhooks, which is the most"
        raise refused(reason)
    position, _ = event_repository.find_end(session, namespace) or (0, None)
    webhook = Webhook(
        namespace=namespace, url=url, secret=new_secret(), position=position
    )
    webhook_repository.add_webhook(session, webhook)
    # Addresses hold secrets now and then: the host is enough to know whom it is about.
    record(
        session,
        namespace,
        Kind.WEBHOOK_ADDED,
        by=by,
        webhook=str(webhook.id),
        host=target.host,
    )
    return webhook


def find_webhook(session: Session, namespace: str, webhook_id: UUID) -> Webhook:
    """A webhook of a namespace, or `not-found`."""
    webhook = webhook_repository.find_webhook(session, namespace, webhook_id)
    if webhook is None:
        detail = f"{namespace} has no webhook {webhook_id}."
        raise ProblemError(detail, "not-found")
    return webhook


def remove_webhook(
    session: Session, namespace: str, webhook_id: UUID, *, by: Principal
) -> None:
    """Send nothing there any more; what was not taken is forgotten.

    Raises:
        ProblemError: `not-found`.
    """
    find_webhook(session, namespace, webhook_id)
    webhook_repository.delete_webhook(session, webhook_id)
    record(session, namespace, Kind.WEBHOOK_REMOVED, by=by, webhook=str(webhook_id))


def replay(
    session: Session, namespace: str, webhook_id: UUID, position: int | None
) -> int:
    """Send dead letters once more, and what is waiting at once; how many letters.

    Raises:
        ProblemError: `not-found`: there is no such webhook, or no such letter.
    """
    webhook = find_webhook(session, namespace, webhook_id)
    count = webhook_repository.make_due(session, webhook_id, position)
    if position is not None and not count:
        detail = f"The event {position} is no dead letter of webhook {webhook_id}."
        raise ProblemError(detail, "not-found")
    webhook.retry_at = None
    session.flush()
    return count


def refused(reason: str) -> ProblemError:
    """The problem of an address."""
    detail = f"The webhook cannot be made: {reason}."
    return ProblemError(detail, "invalid-request", faults=[Fault("/url", reason)])
