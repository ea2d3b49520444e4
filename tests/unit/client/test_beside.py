"""Work beside the caller's ends with its result or its error, and nobody has to ask."""

import threading

import pytest
from safegene_client.beside import Beside

PATIENCE = 60.0


def test_it_runs_beside_whoever_began_it():
    begun, go = threading.Event(), threading.Event()
    done = []

    def work() -> None:
        begun.set()
        assert go.wait(PATIENCE)
        done.append(True)

    beside = Beside(work)

    assert begun.wait(PATIENCE)
    beside.check()
    assert done == []
    go.set()
    beside.wait()
    assert done == [True]


def test_its_error_is_raised_by_whoever_asks():
    def work() -> None:
        raise ValueError("no")

    beside = Beside(work)

    with pytest.raises(ValueError, match="no"):
        beside.wait()
    with pytest.raises(ValueError, match="no"):
        beside.check()
