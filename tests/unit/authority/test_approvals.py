"""Approvals in the state: until when they count, and when they are forgotten."""

from __future__ import annotations

import base64
from typing import Any

from appliance.authority.fold.approvals import Approvals
from appliance.policy.circumstances import Approval
from appliance.policy.document import Policy
from appliance.ssh.keys import fingerprint
from appliance.ssh.sshsig import build_sshsig
from support.ssh_examples import private_key, public_key

ALICE = {"provider": "mtls", "subject": "alice"}


def requested(seq: int = 10, answer_by_s: int = 100) -> Approvals:
    made = Approvals()
    asked = {"identity": ALICE, "grant": "prod", "answer_by_s": answer_by_s, "ttl_s": 1_000, "reason": "x"}
    made.request(seq, asked, Policy())
    return made


def given(person: str, expires_s: int, approval: int = 10) -> dict[str, Any]:
    signature = base64.b64encode(build_sshsig(private_key("ed25519", 1), "x", b"")).decode()
    return {"approval": approval, "person": person, "expires_s": expires_s, "signature": signature}


def allowed(made: Approvals) -> Approval | None:
    found = made.get(10)
    assert found is not None
    return found.to_approval(lambda _given: True)


def test_request_that_nobody_has_answered_allows_nothing() -> None:
    assert allowed(requested()) is None


def test_approval_lasts_as_long_as_all_who_gave_it_say() -> None:
    made = requested()
    made.give(given("bob", 500))
    made.give(given("eve", 300))
    approval = allowed(made)
    assert approval is not None
    assert (approval.seq, approval.grant, approval.ends_s) == (10, "prod", 300)
    assert approval.given_by == {"bob", "eve"}
    assert list(made.asked_by("mtls:bob")) == []


def test_approval_is_by_those_alone_who_count_and_lasts_no_longer_for_that() -> None:
    made = requested()
    made.give(given("bob", 300))
    made.give(given("eve", 500))
    found = made.get(10)
    assert found is not None
    assert {each.key for each in found.given} == {fingerprint(public_key("ed25519", 1))}
    approval = found.to_approval(lambda each: each.person == "eve")
    assert approval is not None
    assert (set(approval.given_by), approval.ends_s) == ({"eve"}, 300)


def test_approval_whose_signature_is_none_is_by_no_key() -> None:
    made = requested()
    made.give(given("bob", 300) | {"signature": "AAAA"})
    found = made.get(10)
    assert found is not None
    assert found.given[0].key == ""


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
    assert allowed(made) is None
