"""The door before the token: full for one who asks for much, open for others, closed in an outage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.authority.issuing.admission import Admission
from appliance.errors import Refusal
from hsm.pool import Limits
from hsm.recovery import Condition
from support.snapshots import WELL

# A call takes 100 ms in one session, a turn may take ten seconds: fifty requests get theirs in half of that.
LIMITS = Limits(sessions=1, turn_s=10.0)
READY = replace(WELL, sessions=1)


def fill(admission: Admission, caller: str) -> int:
    """Let requests in until the door closes, and return how many came through."""
    for count in range(1_000):
        try:
            admission.enter(caller)
        except Refusal:
            return count
    raise AssertionError("it never closes")


def test_caller_alone_fills_the_capacity_and_no_more() -> None:
    assert fill(Admission(lambda: READY, LIMITS), "alice") == 50


def test_others_get_their_share_though_one_has_taken_all() -> None:
    admission = Admission(lambda: READY, LIMITS)
    fill(admission, "alice")
    assert fill(admission, "bob") == 25
    assert fill(admission, "carol") == 16
    assert fill(admission, "dave") == 9, "twice the capacity is the end for everyone"
    assert admission.under_way == 100


def test_place_is_free_again_when_a_request_was_answered() -> None:
    admission = Admission(lambda: READY, LIMITS)
    fill(admission, "alice")
    admission.leave("alice")
    admission.enter("alice")
    with pytest.raises(Refusal) as caught:
        admission.enter("alice")
    assert caught.value.slug == "overloaded"
    assert caught.value.members["retry_after_s"] == 5, "fifty requests of 100 ms, one after the other"


def test_slow_token_admits_at_least_two_a_session() -> None:
    slow = replace(READY, counts=replace(READY.counts, call_s=60.0))
    assert fill(Admission(lambda: slow, LIMITS), "alice") == 2


def test_call_that_takes_long_closes_the_door_before_it_is_over() -> None:
    stalled = replace(READY, busy=1, longest_call_s=2.5)
    assert fill(Admission(lambda: stalled, LIMITS), "alice") == 2


@pytest.mark.parametrize(
    ("condition", "for_s", "open_"),
    [
        (Condition.RECOVERING, 0.5, True),
        (Condition.RECOVERING, 5.0, False),
        (Condition.REFUSED, 0.0, False),
        (Condition.OPENING, 0.0, False),
        (Condition.STOPPED, 0.0, False),
        (Condition.READY, 0.0, False),  # but every session hangs
    ],
)
def test_only_a_short_outage_is_waited_out(condition: Condition, for_s: float, open_: bool) -> None:
    admission = Admission(lambda: replace(READY, condition=condition, problem="it is", for_s=for_s), LIMITS)
    if open_:
        admission.enter("alice")
    else:
        with pytest.raises(Refusal) as caught:
            admission.enter("alice")
        assert caught.value.slug == "hsm-unavailable"
        assert caught.value.members["retry_after_s"]
