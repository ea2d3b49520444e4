"""Rate limits: who is counted, when it is enough, and what is remembered."""

import pytest
from safegene_registry.limits import RateLimiter


class Seconds:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Seconds()


def test_without_a_limit_nobody_waits():
    limiter = RateLimiter(None)

    assert {limiter.take("ann") for _ in range(1000)} == {None}
    assert limiter.buckets == {}


def test_a_minutes_worth_may_come_at_once_and_no_more(clock):
    limiter = RateLimiter(60, clock=clock)

    answers = [limiter.take("ann") for _ in range(61)]

    assert answers == [None] * 60 + [1]


def test_who_waits_as_long_as_told_may_go_on(clock):
    limiter = RateLimiter(6, clock=clock)
    for _ in range(6):
        limiter.take("ann")

    told = limiter.take("ann")
    clock.now += told - 0.1
    too_early = limiter.take("ann")
    clock.now += 0.1
    in_time = limiter.take("ann")

    assert (told, too_early, in_time) == (10, 1, None)


def test_asking_while_refused_does_not_put_the_end_off(clock):
    limiter = RateLimiter(1, clock=clock)
    limiter.take("ann")
    for _ in range(59):
        clock.now += 1
        assert limiter.take("ann") is not None

    clock.now += 1

    assert limiter.take("ann") is None


def test_long_silence_buys_no_more_than_a_minutes_worth(clock):
    limiter = RateLimiter(3, clock=clock)
    limiter.take("ann")

    clock.now += 3600

    assert [limiter.take("ann") for _ in range(4)] == [None, None, None, 20]


def test_callers_do_not_share(clock):
    limiter = RateLimiter(1, clock=clock)
    limiter.take("ann")

    assert limiter.take("ann") == 60
    assert limiter.take("bob") is None


def test_no_flood_of_callers_fills_the_memory(clock):
    limiter = RateLimiter(1, clock=clock, max_buckets=10)
    limiter.take("ann")

    for number in range(9):
        limiter.take(number)
    assert limiter.take("ann") == 60
    for number in range(100):
        limiter.take(number)

    assert len(limiter.buckets) == 10
    assert limiter.take("ann") is None
