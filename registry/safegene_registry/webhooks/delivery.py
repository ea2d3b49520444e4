"""Sending what has happened to those who want to hear of it.

One thread of each replica looks for webhooks that are behind the chain of their
namespace and leases them; a few others send, each for one webhook at a time and one
event after the other. So a receiver gets events in their order, one that is slow costs
one thread of one replica, and a replica that dies is taken over when its lease is over.
An event may be sent twice, with the same id. Changes know nothing of this.
"""

import ssl
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from safegene_registry.db import Database
from safegene_registry.events.feed import event_detail
from safegene_registry.log import get_logger
from safegene_registry.models import DeadLetter, Webhook
from safegene_registry.problems import ProblemError
from safegene_registry.services import Services
from safegene_registry.webhooks import webhook_repository
from safegene_registry.webhooks.sending import Delivery, ReceiverError, send
from safegene_registry.webhooks.targets import TargetError, parse_target

log = get_logger("safegene_registry.webhooks")

LOOK_SECONDS = 0.5
"""How often a replica looks for something to send."""

AT_ONCE = 4
"""Webhooks that a replica works on at once."""

WORK_SECONDS = 30.0
"""How long a webhook is worked on before others get their turn."""

LEASE = timedelta(seconds=90)
"""More than that and one more attempt; then the replica is dead."""

DELAYS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14400)
)
"""Between an attempt that failed and the next; after the last, it is a dead letter."""

MAX_ERROR = 300
DIGITS = 16
"""Of an event's digest, in what a delivery is called."""


class Deliverer:
    """Sends, from threads of its own and with connections of its own.

    Args:
        services: of the running application.
        context: of TLS; None: as the operating system trusts.
    """

    def __init__(
        self, services: Services, *, context: ssl.SSLContext | None = None
    ) -> None:
        self.services = services
        self.context = context
        # Those of requests may all be in use.
        self.database = Database(services.database.url)
        self.stopping = threading.Event()
        self.working: dict[UUID, Future[None]] = {}
        self.threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self.thread = threading.Thread(target=self.run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin to look for something to send."""
        self.thread.start()

    def stop(self) -> None:
        """Send nothing more; what is on its way may end."""
        self.stopping.set()
        self.thread.join()
        self.threads.shutdown(cancel_futures=True)
        self.database.dispose()

    def run(self) -> None:
        """Look now and then."""
        while not self.stopping.wait(LOOK_SECONDS):
            try:
                self.look()
            except ProblemError as problem:
                log.warning("webhooks_unknown", reason=problem.detail)
            except Exception:
                # The edge of the thread: whatever it was, others are still to be sent.
                log.exception("webhooks_failed")

    def look(self) -> None:
        """Take what there is to work on, as far as threads are free."""
        self.working = {
            key: work for key, work in self.working.items() if not work.done()
        }
        free = AT_ONCE - len(self.working)
        if not free:
            return
        now = self.services.now()
        with self.database.reading() as session:
            if not webhook_repository.is_any_due(session, now):
                # On SQLite the other way would keep everybody from writing.
                return
        with self.database.writing() as session:
            taken = webhook_repository.lease_webhooks(session, now, now + LEASE, free)
        for webhook_id in taken:
            self.working[webhook_id] = self.threads.submit(self.work, webhook_id)

    def work(self, webhook_id: UUID) -> None:
        """Send what a webhook has not got yet, for a while."""
        deadline = time.monotonic() + WORK_SECONDS
        try:
            while not self.stopping.is_set() and time.monotonic() < deadline:
                if not self.send_next(webhook_id):
                    break
        except ProblemError as problem:
            log.warning("webhook_waits", webhook=str(webhook_id), reason=problem.detail)
        except Exception:
            log.exception("webhook_failed", webhook=str(webhook_id))
        finally:
            self.leave(webhook_id)

    def leave(self, webhook_id: UUID) -> None:
        """Let others work on a webhook; if that fails, they wait for the lease."""
        try:
            with self.database.writing() as session:
                webhook_repository.end_lease(session, webhook_id)
        except ProblemError as problem:
            log.warning("webhook_leased", webhook=str(webhook_id), why=problem.detail)

    def send_next(self, webhook_id: UUID) -> bool:
        """Send one event; whether there may be more to send now."""
        with self.database.reading() as session:
            webhook = webhook_repository.get_webhook(session, webhook_id)
            if webhook is None:
                return False
            found = webhook_repository.next_event(session, webhook)
        if found is None:
            return False
        row, is_letter = found
        body = event_detail(row, everything=True).model_dump_json().encode()
        # After a restore, another event may have the position of one that was sent.
        begun = row.digest.removeprefix("sha256:")[:DIGITS]
        delivery = Delivery(f"{webhook.id}.{row.position}.{begun}", body)
        error = self.try_to_send(webhook, delivery)
        now = self.services.now()
        with self.database.writing() as session:
            current = webhook_repository.get_webhook(session, webhook_id)
            if current is None:
                return False
            if is_letter:
                note_letter(session, current, row.position, error, now)
            else:
                note_attempt(session, current, row.position, error, now)
        log.info(
            "webhook_sent" if error is None else "webhook_not_taken",
            webhook=str(webhook_id),
            namespace=webhook.namespace,
            position=row.position,
            error=error,
        )
        return error is None

    def try_to_send(self, webhook: Webhook, delivery: Delivery) -> str | None:
        """Send; why it was not taken, None if it was."""
        settings = self.services.settings
        try:
            target = parse_target(webhook.url, allow_http=settings.webhook_allow_http)
            send(
                target,
                webhook.secret,
                delivery,
                allowed=settings.webhook_networks,
                context=self.context,
            )
        except (TargetError, ReceiverError) as error:
            return str(error)[:MAX_ERROR]
        return None


def note_attempt(
    session: Session, webhook: Webhook, position: int, error: str | None, now: datetime
) -> None:
    """Write down how sending the next event went.

    After a dead letter the events behind it are tried once each, until one is taken:
    a receiver that is gone for good does not keep every event for as long.
    """
    webhook.error = error
    if error is None:
        webhook.position, webhook.attempts, webhook.retry_at = position, 0, None
        return
    if webhook.attempts < len(DELAYS):
        webhook.retry_at = now + DELAYS[webhook.attempts]
        webhook.attempts += 1
        return
    letter = DeadLetter(
        webhook_id=webhook.id, position=position, failed_at=now, error=error
    )
    webhook_repository.add_dead_letter(session, letter)
    webhook.position = position
    webhook.retry_at = now + DELAYS[-1]


def note_letter(
    session: Session, webhook: Webhook, position: int, error: str | None, now: datetime
) -> None:
    """Write down how sending a dead letter once more went."""
    letter = webhook_repository.get_dead_letter(session, webhook.id, position)
    if letter is None:
        return
    if error is None:
        webhook_repository.delete_dead_letter(session, webhook.id, position)
        webhook.attempts, webhook.retry_at, webhook.error = 0, None, None
    else:
        letter.failed_at, letter.error, letter.is_due = now, error, False
