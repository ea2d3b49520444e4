"""How often one caller may ask: a token bucket each, in the memory of this process.

Who sends a token is counted by token, everybody else by address. Nothing is written to
the database, so a limit costs microseconds and holds when the database does not. The
price: every replica counts for itself, and so the real limit lies between the one that
is set and that times the number of replicas. It is there to keep one caller from
crowding out the others, not to meter anybody.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

MAX_BUCKETS = 50_000
"""Callers remembered at once; beyond them, those not seen for longest start anew."""


@dataclass(slots=True)
class Bucket:
    """Requests that a caller may still make at once."""

    left: float
    at: float


class RateLimiter:
    """Lets every caller make so many requests a minute.

    A caller who was silent for a minute may make all of them at once.

    Args:
        per_minute: the limit; None: there is none.
        clock: seconds, never backwards.
        max_buckets: callers that are remembered.
    """

    def __init__(
        self,
        per_minute: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_buckets: int = MAX_BUCKETS,
    ) -> None:
        self.per_minute = per_minute
        self.clock = clock
        self.max_buckets = max_buckets
        self.buckets: OrderedDict[Hashable, Bucket] = OrderedDict()
        self.lock = threading.Lock()

    def take(self, caller: Hashable) -> int | None:
        """Count one request.

        Returns:
            None when it may go on, else the whole seconds to wait before another one.
        """
        if self.per_minute is None:
            return None
        rate = self.per_minute / 60
        now = self.clock()
        with self.lock:
            bucket = self.buckets.pop(caller, None) or Bucket(self.per_minute, now)
            self.buckets[caller] = bucket
            if len(self.buckets) > self.max_buckets:
                self.buckets.popitem(last=False)
            refilled = bucket.left + (now - bucket.at) * rate
            bucket.left, bucket.at = min(refilled, self.per_minute), now
            if bucket.left < 1:
                return math.ceil((1 - bucket.left) / rate)
            bucket.left -= 1
        return None
