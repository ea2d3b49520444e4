"""When tokens were last used, without a write for every request.

Uses are noted in memory and written down together, at most once in `FLUSH_SECONDS`. A
process that is killed forgets what it had not written yet: `last_used_at` tells whether
a token is still needed, not what was done with it (that is in the log).
"""

import threading
from datetime import datetime
from uuid import UUID

from safegene_registry import token_repository
from safegene_registry.db import Database
from safegene_registry.log import get_logger
from safegene_registry.problems import ProblemError

log = get_logger("safegene_registry.usage")

FLUSH_SECONDS = 60.0


class UsageRecorder:
    """Notes uses, and writes them down from a thread of its own.

    Args:
        database: where to.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.used: dict[UUID, datetime] = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None

    def note(self, token_id: UUID, at: datetime) -> None:
        """Remember that the token was used."""
        with self.lock:
            self.used[token_id] = at

    def flush(self) -> None:
        """Write down what was noted; what cannot be written is kept for later."""
        with self.lock:
            used, self.used = self.used, {}
        if not used:
            return
        try:
            with self.database.writing() as session:
                token_repository.set_last_used(session, used)
        except ProblemError:
            log.warning("token_uses_not_recorded", count=len(used))
            with self.lock:
                self.used = used | self.used

    def start(self) -> None:
        """Begin to write down now and then."""
        self.thread = threading.Thread(target=self.run, name="token-usage", daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Until told to stop."""
        while not self.stopping.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except Exception:
                # The edge of a thread: nobody else would hear of it.
                log.exception("token_uses_lost")

    def stop(self) -> None:
        """End, having written down what is left."""
        self.stopping.set()
        if self.thread is not None:
            self.thread.join()
        self.flush()
