"""Pieces that are fetched ahead: several at once, in order, and not too many."""

from threading import Barrier, Event

import pytest
from safegene_client.ahead import Ahead

SECONDS = 120


def pieces(count):
    return [(number, number + 1) for number in range(count)]


def test_pieces_come_at_once_and_are_taken_in_order():
    """Four threads meet before any of them has its piece."""
    meeting = Barrier(4)

    def fetch(first, last, ended):
        meeting.wait(SECONDS)
        return [b"%d," % first, b"%d " % last]

    with Ahead(fetch, pieces(8), 4) as ahead:
        assert b"".join(ahead.chunks()) == b"0,1 1,2 2,3 3,4 4,5 5,6 6,7 7,8 "


def test_no_more_is_fetched_than_may_be_held():
    begun = []
    met = Barrier(4)

    def fetch(first, last, ended):
        begun.append(first)
        if first < 3:
            met.wait(SECONDS)
        return [b"%d" % first]

    with Ahead(fetch, pieces(10), 3) as ahead:
        met.wait(SECONDS)
        chunks = ahead.chunks()
        assert sorted(begun) == [0, 1, 2]
        assert b"".join(chunks) == b"0123456789"


def test_a_failure_comes_in_its_turn_and_ends_the_others():
    told = []
    last_began, may_end = Event(), Event()

    def fetch(first, last, ended):
        told.append(ended)
        if first == 1:
            assert last_began.wait(SECONDS)
            raise ConnectionError("gone")
        if first == 2:
            last_began.set()
            assert may_end.wait(SECONDS)
        return [b"%d" % first]

    taken = []
    with (
        pytest.raises(ConnectionError, match="gone"),
        Ahead(fetch, pieces(9), 3) as ahead,
    ):
        taken.extend(ahead.chunks())
    may_end.set()

    assert taken == [b"0"]
    assert all(ended.is_set() for ended in told)
