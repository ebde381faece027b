"""Waits for clients: each ends in time, the oldest goes first, and none ends that is over."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from appliance.web.door import WaitedTooLong, Waiting


class Client:
    """A greenlet that waits until something comes, or the wait ends."""

    def __init__(self, waiting: Waiting, seconds: float = 30) -> None:
        self.came = Event()
        self.outcome = "waits"
        self._waiting = waiting
        self._seconds = seconds
        self._greenlet = gevent.spawn(self._run)
        gevent.sleep(0)

    def _run(self) -> None:
        try:
            with self._waiting.up_to(self._seconds):
                self.came.wait()
            gevent.sleep(0.02)  # what it was waited for
            self.outcome = "served"
        except WaitedTooLong:
            self.outcome = "ended"

    def join(self) -> str:
        self._greenlet.join(5)
        return self.outcome


def test_wait_ends_when_its_time_is_over() -> None:
    assert Client(Waiting(), seconds=0.01).join() == "ended"


def test_oldest_wait_ends_first_and_the_others_go_on() -> None:
    waiting = Waiting()
    clients = [Client(waiting) for _ in range(3)]
    waiting.end_oldest()
    waiting.end_oldest()
    assert [clients[0].join(), clients[1].join(), clients[2].outcome] == ["ended", "ended", "waits"]
    assert len(waiting) == 1
    clients[2].came.set()
    assert clients[2].join() == "served"
    assert len(waiting) == 0


def test_wait_that_is_over_in_the_moment_of_its_end_is_served() -> None:
    """Its client sent something just then, and it runs before the end comes."""
    waiting = Waiting()
    client = Client(waiting)
    client.came.set()
    waiting.end_oldest()
    assert client.join() == "served"


def test_all_waits_end_together_and_ending_none_is_no_error() -> None:
    waiting = Waiting()
    clients = [Client(waiting) for _ in range(5)]
    waiting.end_all()
    waiting.end_oldest()
    assert [client.join() for client in clients] == ["ended"] * 5


def test_timeout_of_something_else_is_not_taken_for_the_end_of_a_wait() -> None:
    waiting = Waiting()
    with pytest.raises(gevent.Timeout) as raised, gevent.Timeout(0.01), waiting.up_to(5):
        gevent.sleep(5)
    assert not isinstance(raised.value, WaitedTooLong)
    assert len(waiting) == 0
