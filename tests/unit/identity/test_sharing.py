"""Questions under way: asked once, answered to all, and no answer is kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.identity.errors import InvalidCredential
from appliance.identity.sharing import Sharing


def test_many_who_ask_the_same_at_once_have_one_answer() -> None:
    sharing, asked, go = Sharing[int](), [], threading.Event()

    def question() -> int:
        asked.append(1)
        go.wait(10)
        return len(asked)

    with ThreadPoolExecutor(21) as pool:
        waiting = [pool.submit(sharing.ask, "ada", question) for _ in range(20)]
        other = pool.submit(sharing.ask, "bob", lambda: 7)
        assert other.result(10) == 7, "another question is another matter"
        go.set()
        assert [each.result(10) for each in waiting] == [1] * 20
    assert sharing.ask("ada", question) == 2, "what was answered is asked again"


def test_what_goes_wrong_goes_wrong_for_all_and_then_is_asked_again() -> None:
    sharing, go, arrived = Sharing[int](), threading.Event(), threading.Semaphore(0)

    def question() -> int:
        arrived.release()
        go.wait(10)
        raise InvalidCredential("gone")

    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(sharing.ask, "ada", question) for _ in range(5)]
        assert arrived.acquire(timeout=10)
        go.set()
        for each in waiting:
            with pytest.raises(InvalidCredential, match="gone"):
                each.result(10)
    assert sharing.ask("ada", lambda: 1) == 1


def test_nobody_waits_for_one_who_was_stopped() -> None:
    sharing, began, go = Sharing[int](), threading.Event(), threading.Event()

    def question() -> int:
        began.set()
        go.wait(10)
        raise KeyboardInterrupt

    def stopped() -> None:
        with pytest.raises(KeyboardInterrupt):
            sharing.ask("ada", question)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(stopped)
        assert began.wait(10)
        second = pool.submit(sharing.ask, "ada", lambda: 2)
        go.set()
        first.result(10)
        second.exception(10)  # it ends, be it with an answer of its own or without one
