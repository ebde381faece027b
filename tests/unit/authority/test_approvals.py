"""Approvals in the state: until when they count, and when they are forgotten."""

from __future__ import annotations

from typing import Any

from appliance.authority.fold.approvals import Approvals

ALICE = {"provider": "mtls", "subject": "alice"}


def requested(seq: int = 10, answer_by_s: int = 100) -> Approvals:
    made = Approvals()
    asked = {"identity": ALICE, "grant": "prod", "answer_by_s": answer_by_s, "ttl_s": 1_000}
    made.request(seq, asked)
    return made


def given(person: str, expires_s: int, approval: int = 10) -> dict[str, Any]:
    return {"approval": approval, "person": person, "expires_s": expires_s}


def test_request_that_nobody_has_answered_allows_nothing() -> None:
    assert requested().of("mtls:alice") == ()


def test_approval_lasts_as_long_as_all_who_gave_it_say() -> None:
    made = requested()
    made.give(given("bob", 500))
    made.give(given("eve", 300))
    (approval,) = made.of("mtls:alice")
    assert (approval.seq, approval.grant, approval.ends_s) == (10, "prod", 300)
    assert approval.given_by == {"bob", "eve"}
    assert made.of("mtls:bob") == ()


def test_approval_is_kept_until_its_last_answer_is_over_and_a_request_until_it_cannot_be_answered() -> None:
    made = requested()
    made.give(given("bob", 500))
    made.forget(499)
    assert made.get(10) is not None
    made.forget(500)
    assert made.get(10) is None
    unanswered = requested()
    unanswered.forget(99)
    assert unanswered.get(10) is not None
    unanswered.forget(100)
    assert unanswered.get(10) is None
    assert list(unanswered.asked_by("mtls:alice")) == []


def test_request_is_open_until_it_is_refused_late_or_run_out() -> None:
    made = requested()
    request = made.get(10)
    assert request is not None
    assert (request.is_open(99), request.is_open(100)) == (True, False)
    made.give(given("bob", 50))
    run_out = made.get(10)
    assert run_out is not None
    assert (run_out.is_open(49), run_out.is_open(50)) == (True, False)
    made.refuse(given("eve", 90))
    refused = made.get(10)
    assert refused is not None
    assert not refused.is_open(10)
    assert made.of("mtls:alice") == ()
