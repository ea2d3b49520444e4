"""Jobs beside the requests: a few at once, and none that a process waits for."""

import threading
import time
from uuid import uuid4

import pytest
from safegene_registry.background import Background, BusyError

SECONDS = 30


def test_jobs_run_a_few_at_once():
    background = Background(at_once=2, waiting=10)
    gate, running, most = threading.Event(), [], []
    ended = threading.Semaphore(0)

    def job():
        running.append(1)
        most.append(len(running))
        gate.wait(SECONDS)
        running.pop()
        ended.release()

    for _ in range(6):
        background.start(uuid4(), job)
    deadline = time.monotonic() + SECONDS
    while len(running) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    gate.set()
    for _ in range(6):
        assert ended.acquire(timeout=SECONDS)

    assert max(most) == 2
    assert background.close(SECONDS) == set()


def test_more_than_may_wait_are_refused():
    background = Background(at_once=1, waiting=1)
    gate, ended = threading.Event(), threading.Semaphore(0)

    def job():
        gate.wait(SECONDS)
        ended.release()

    for _ in range(2):
        background.start(uuid4(), job)
    with pytest.raises(BusyError):
        background.start(uuid4(), job)
    gate.set()

    assert all(ended.acquire(timeout=SECONDS) for _ in range(2))
    assert background.close(SECONDS) == set()


def test_closing_waits_for_nobody_for_long():
    background = Background(at_once=1)
    gate, begun, late = threading.Event(), threading.Event(), []
    running, waiting = uuid4(), uuid4()

    def job():
        begun.set()
        gate.wait(SECONDS)

    background.start(running, job)
    assert begun.wait(SECONDS)
    background.start(waiting, lambda: late.append(1))
    left = background.close(0.1)
    with pytest.raises(BusyError):
        background.start(uuid4(), lambda: None)
    gate.set()
    time.sleep(0.5)

    assert left == {running, waiting}
    assert late == []
