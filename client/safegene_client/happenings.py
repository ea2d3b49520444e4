"""What `Registry` tells of what has happened in a namespace, and whom it has told."""

import time
from collections.abc import Iterator
from typing import Any

from safegene.artifact.reference import check_part
from safegene.errors import TransportError
from safegene_client.answers import Answer
from safegene_client.lifecycle_answers import Page
from safegene_client.session import Session, json_body
from safegene_client.versions import PAGE_SIZE, all_pages

PAUSE_SECONDS = 1.0
"""Between two questions of who follows."""

LONGEST_PAUSE = 60.0


class Event(Answer):
    """Something that has happened in a namespace."""

    namespace: str
    position: int
    kind: str
    """There are more to come: pass over those that you do not know."""
    at: str
    vector: str | None
    version: str | None
    details: dict[str, Any]
    actor: str | None
    """For owners."""
    token_id: str | None
    """For owners."""
    previous: str | None
    digest: str


class EventPage(Answer):
    """Events behind a position."""

    items: tuple[Event, ...]
    last: int
    more: bool


class Webhook(Answer):
    """Where the events of a namespace are sent to."""

    id: str
    url: str
    created_at: str
    position: int
    attempts: int
    error: str | None
    retry_at: str | None
    secret: str | None = None
    """Only of one that was just made."""


class DeadLetter(Answer):
    """An event that was not taken, however often it was sent."""

    position: int
    failed_at: str
    error: str
    due: bool


class Replayed(Answer):
    """What will be sent once more."""

    count: int


class Happenings:
    """Verbs of `Registry` about events and webhooks."""

    _session: Session

    def events(self, namespace: str, *, after: int = 0) -> EventPage:
        """What has happened behind a position, the oldest first, all of it.

        Args:
            namespace: where.
            after: `last` of an earlier answer.

        Raises:
            NotFoundError: there is no such namespace.
            RejectedError: the chain has not come so far: it is another registry, or
                one that was restored from a backup.
            RegistryError: the registry refused or could not be reached.
        """
        found: list[Event] = []
        while True:
            page = self._session.ask(
                EventPage,
                "GET",
                f"{_path(namespace)}/events",
                params={"after": str(after), "limit": str(PAGE_SIZE)},
            )
            found.extend(page.items)
            after = page.last
            if not page.more:
                return EventPage(items=tuple(found), last=after, more=False)

    def follow_events(
        self, namespace: str, *, after: int = 0, pause: float = PAUSE_SECONDS
    ) -> Iterator[Event]:
        """The same, and then what happens, without end; nothing is missed.

        While the registry cannot be reached it is asked again, ever less often.

        Args:
            namespace: where.
            after: position behind which to begin.
            pause: seconds between two questions.

        Raises:
            RegistryError: as for `events`.
        """
        wait = pause
        while True:
            try:
                page = self.events(namespace, after=after)
                wait = pause
            except TransportError:
                wait = min(2 * wait, LONGEST_PAUSE)
            else:
                yield from page.items
                after = page.last
            time.sleep(wait)

    def webhooks(self, namespace: str) -> list[Webhook]:
        """Where the events of a namespace are sent to.

        Raises:
            ForbiddenError: the token is not an owner's, of scope admin.
            RegistryError: the registry refused or could not be reached.
        """
        path = f"{_path(namespace)}/webhooks"
        return all_pages(
            lambda params: self._session.ask(Page[Webhook], "GET", path, params=params)
        )

    def add_webhook(self, namespace: str, url: str) -> Webhook:
        """Have events sent to an address from now on; `secret` is shown this once.

        Raises:
            RejectedError: the address is not on the open internet, or not https.
            ForbiddenError: the token is not an owner's, of scope admin.
            RegistryError: the registry refused or could not be reached.
        """
        path = f"{_path(namespace)}/webhooks"
        return self._session.ask(Webhook, "POST", path, body=json_body({"url": url}))

    def remove_webhook(self, namespace: str, webhook_id: str) -> None:
        """Send nothing there any more.

        Raises:
            NotFoundError: there is none of this id.
            RegistryError: the registry refused or could not be reached.
        """
        self._session.send("DELETE", _webhook(namespace, webhook_id))

    def dead_letters(self, namespace: str, webhook_id: str) -> list[DeadLetter]:
        """What a receiver has not taken, however often it was sent.

        Raises:
            NotFoundError: there is no webhook of this id.
            RegistryError: the registry refused or could not be reached.
        """
        path = f"{_webhook(namespace, webhook_id)}/dead-letters"
        return all_pages(
            lambda params: self._session.ask(
                Page[DeadLetter], "GET", path, params=params
            )
        )

    def replay(
        self, namespace: str, webhook_id: str, *, position: int | None = None
    ) -> int:
        """Send one dead letter or all of them once more; how many that are.

        Raises:
            NotFoundError: there is no such webhook, or no such dead letter.
            RegistryError: the registry refused or could not be reached.
        """
        body = json_body({} if position is None else {"position": position})
        path = f"{_webhook(namespace, webhook_id)}/replay"
        return self._session.ask(Replayed, "POST", path, body=body).count


def _path(namespace: str) -> str:
    return f"/v1/namespaces/{check_part(namespace, 'namespace')}"


def _webhook(namespace: str, webhook_id: str) -> str:
    return f"{_path(namespace)}/webhooks/{check_part(webhook_id, 'webhook')}"
