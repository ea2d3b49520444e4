"""A mirror that goes on: it asks the feeds of events what is new.

Positions are read before vectors are looked at, so that nothing falls in between. They
are kept in memory only: a mirror that is started anew looks at everything once.
"""

import time
from collections.abc import Collection
from threading import Event

from safegene.artifact.reference import VectorName
from safegene_registry.care.mirror import Run, chosen, matches
from safegene_registry.care.remote import News
from safegene_registry.care.upstream import RefusedError, UpstreamError
from safegene_registry.problems import ProblemError

LIST_SECONDS = 60.0
"""Between two lists of all vectors, which show new namespaces."""

LONGEST_PAUSE = 60.0
"""Seconds between two tries while the other registry cannot be asked."""


class Follower:
    """Takes over what changes, as it changes.

    Args:
        run: the mirror.
        patterns: as `mirror` takes them.
    """

    def __init__(self, run: Run, patterns: Collection[str]) -> None:
        self.run = run
        self.patterns = patterns
        self.seen: set[VectorName] = set()
        self.positions: dict[str, int] = {}
        """Of the last event that is known, by namespace."""
        self.list_at = float("-inf")
        """When all vectors are to be listed again, by the monotonic clock."""

    def go_on(self, pause: float, stopped: Event) -> None:
        """Look for what is new, again and again.

        Args:
            pause: seconds between two looks.
            stopped: ends it.
        """
        wait = pause
        while not stopped.wait(wait):
            try:
                self.look()
                wait = pause
            except UpstreamError as error:
                self.run.tell(f"trying again: {error}")
                wait = min(2 * wait + 1, LONGEST_PAUSE)
            except ProblemError as error:
                if "Retry-After" not in error.headers:
                    raise
                self.run.tell(f"trying again: {error}")
                wait = min(2 * wait + 1, LONGEST_PAUSE)

    def look(self) -> None:
        """Take over what has changed since the last look."""
        listed = self.listed()
        unseen = listed - self.seen
        changed, positions = set(unseen), {}
        attested: dict[VectorName, set[str]] = {}
        for namespace in sorted({each.namespace for each in listed | self.seen}):
            news = self.news(namespace)
            positions[namespace] = news.last
            vectors = {VectorName(namespace, name) for name in news.vectors}
            changed |= {each for each in vectors if matches(each, self.patterns)}
            for name, versions in news.attested.items():
                attested[VectorName(namespace, name)] = versions
        for vector in sorted(changed):
            said = None if vector in unseen else attested.get(vector, set())
            self.run.take_vector(vector, said)
        # Only now: what breaks off is looked at once more.
        self.seen |= changed
        self.positions |= positions

    def listed(self) -> set[VectorName]:
        """All vectors, now and then: of namespaces that are known, the feeds tell."""
        now = time.monotonic()
        if now < self.list_at:
            return set()
        found = set(chosen(self.run.upstream, self.patterns))
        self.list_at = now + LIST_SECONDS
        return found

    def news(self, namespace: str) -> News:
        """What events behind the known position tell."""
        try:
            return self.run.upstream.news(namespace, self.positions.get(namespace, 0))
        except RefusedError:
            # It was restored from a backup, and has not come so far again.
            return self.run.upstream.news(namespace, 0)
