from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from appliance.authority.issuing.batches import Batch
from appliance.authority.transport.server import Reply
from appliance.errors import Refusal


class Door:
    """Lets in as many as it has room for; what it let in is done when the test says so, or at once."""

    def __init__(self, room: int, *, at_once: bool = False) -> None:
        self.room = room
        self.under_way: list[tuple[int, Reply]] = []
        self.most = 0
        self._at_once = at_once
        self._lock = threading.Lock()
        self.refusals = threading.Semaphore(0)

    def start(self, number: int) -> Callable[[Reply], None]:
        def begin(reply: Reply) -> None:
            with self._lock:
                if len(self.under_way) >= self.room:
                    self.refusals.release()
                    raise Refusal("overloaded", "full")
                self.under_way.append((number, reply))
                self.most = max(self.most, len(self.under_way))
            if self._at_once:
                threading.Thread(target=self.finish, daemon=True).start()

        return begin

    def finish(self) -> None:
        with self._lock:
            number, reply = self.under_way.pop()
        reply(number)


def run(door: Door, count: int, **more: Any) -> tuple[list[dict[str, Any]], threading.Event]:
    outcomes: list[dict[str, Any]] = []
    done = threading.Event()

    def take(all_of_them: list[dict[str, Any]]) -> None:
        outcomes.extend(all_of_them)
        done.set()

    Batch([door.start(number) for number in range(count)], take, **more).start()
    return outcomes, done


def test_batch_paces_itself_and_keeps_the_order() -> None:
    door = Door(room=3, at_once=True)
    outcomes, done = run(door, 500)
    assert done.wait(30)
    assert outcomes == [{"ok": number} for number in range(500)]
    assert 1 <= door.most <= 3


def test_batch_waits_while_others_keep_the_door_closed() -> None:
    door = Door(room=0, at_once=True)
    outcomes, done = run(door, 3)
    for _ in range(2):
        assert door.refusals.acquire(timeout=30)
    assert not done.is_set()
    door.room = 3
    assert done.wait(30)
    assert outcomes == [{"ok": 0}, {"ok": 1}, {"ok": 2}]


def test_batch_before_which_the_door_stays_closed_is_refused_in_the_end() -> None:
    outcomes, done = run(Door(room=0), 3, paced_s=0.2)
    assert done.wait(30)
    assert [outcome["refusal"]["slug"] for outcome in outcomes] == ["overloaded"] * 3


@pytest.mark.parametrize("paced_s", [0.0, 0.05])
def test_what_was_not_begun_in_time_is_refused_and_the_rest_is_waited_for(paced_s: float) -> None:
    door = Door(room=2)
    outcomes, done = run(door, 5, paced_s=paced_s)
    for _ in range(3):
        assert door.refusals.acquire(timeout=30)
    assert not done.is_set()
    door.finish()
    door.finish()
    assert done.wait(30)
    assert sorted(outcome.get("ok", -1) for outcome in outcomes) == [-1, -1, -1, 0, 1]


def test_request_that_cannot_be_begun_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    door = Door(room=2, at_once=True)

    def broken(_reply: Reply) -> None:
        raise ValueError("nobody thought of this")

    outcomes: list[dict[str, Any]] = []
    done = threading.Event()

    def take(all_of_them: list[dict[str, Any]]) -> None:
        outcomes.extend(all_of_them)
        done.set()

    Batch([door.start(0), broken, door.start(2)], take).start()
    assert done.wait(30)
    assert [each.get("ok", "refused") for each in outcomes] == [0, "refused", 2]
    assert outcomes[1]["refusal"]["slug"] == "internal"
    assert "could not be begun" in caplog.text
