"""Approvals in the authority: who may ask, who may answer, and what a certificate rests on then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.issuing.releases import Release
from appliance.errors import Refusal
from appliance.evidence.verify import verify_evidence
from appliance.requests import UserRequest
from audit.stores.sqlite import SqliteReader
from audit.verifier import SqliteSource, Verdict
from support.authority import VKEY, TestAuthority, identity, running_authority
from support.circumstances import NOW_S, answer, apply, give, policy, request, sign
from support.ssh_examples import public_key

KEY = public_key("ed25519", 1)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[TestAuthority]:
    with running_authority(tmp_path / "ledger.db") as running:
        apply(running, policy())
        yield running
    assert running.failures == []
    with SqliteSource(running.path) as source:
        report = verify_evidence(source, pinned_key=VKEY)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


def ask(authority: TestAuthority) -> Release | Refusal:
    return authority.ask(identity(), UserRequest(public_key=KEY, grant="prod"))


def test_certificate_is_refused_until_somebody_approves_and_cites_that_then(authority: TestAuthority) -> None:
    refused = ask(authority)
    assert isinstance(refused, Refusal)
    assert refused.members["rule"] == "require.approvals"
    assert "chancery approval request prod" in refused.detail
    seq, already = request(authority)
    assert not already
    assert isinstance(ask(authority), Refusal)
    assert answer(authority, seq, "bob") == seq + 1
    released = ask(authority)
    assert isinstance(released, Release)
    assert released.certificates[0].content.valid_before == NOW_S + 3_600
    reader = SqliteReader(authority.path)
    (intent,) = reader.entries(released.certificates[0].seq, released.certificates[0].seq + 1)
    reader.close()
    assert json.loads(intent)["data"]["approvals"] == [seq]


def test_request_is_on_record_once_while_it_is_open(authority: TestAuthority) -> None:
    seq, _ = request(authority)
    assert request(authority) == (seq, True)
    answer(authority, seq, "bob", "refused")
    again, already = request(authority)
    assert (again > seq, already) == (True, False)


def test_only_whom_the_grant_covers_can_ask_and_only_if_it_requires_approval(
    authority: TestAuthority,
) -> None:
    assert request(authority, "mallory").slug == "policy-denied"
    assert request(authority, grant="deploy").slug == "conflict"
    assert request(authority, grant="nothing").slug == "policy-denied"


def test_nobody_approves_for_himself_in_any_account(authority: TestAuthority) -> None:
    """Alice is an approver by another of her accounts than the one that asks."""
    seq, _ = request(authority)
    refused = answer(authority, seq, "alice")
    assert isinstance(refused, Refusal)
    assert "or asked himself" in refused.detail


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"person": "eve"}, "signature"),
        ({"person": "carol"}, "none of the approvers"),
        ({"expires_s": NOW_S + 7_200}, "signature"),
        ({"expires_s": NOW_S + 7_201}, "at most 7200 s"),
        ({"expires_s": NOW_S}, "over before it begins"),
        ({"expires_s": NOW_S, "decision": "refused"}, "over before it begins"),
        ({"expires_s": NOW_S + 24 * 3_600 + 1, "decision": "refused"}, "not within 24 h"),
        ({"decision": "refused"}, "signature"),
        ({"signature": "AAAA"}, "signature"),
        ({"signature": "not base64"}, "signature"),
    ],
)
def test_answer_that_does_not_hold_is_refused(
    authority: TestAuthority, changes: dict[str, Any], expected: str
) -> None:
    seq, _ = request(authority)
    refused = give(authority, seq, sign(authority, seq, "bob", "given", NOW_S + 3_600), **changes)
    assert isinstance(refused, Refusal)
    assert expected in refused.detail
    assert isinstance(ask(authority), Refusal)


def test_signature_over_another_request_is_refused(authority: TestAuthority) -> None:
    first, _ = request(authority)
    signed = sign(authority, first, "bob", "given", NOW_S + 3_600)
    answer(authority, first, "eve", "refused")
    second, _ = request(authority)
    assert isinstance(give(authority, second, signed), Refusal)


def test_each_person_gives_an_approval_once(authority: TestAuthority) -> None:
    seq, _ = request(authority)
    answer(authority, seq, "bob")
    refused = answer(authority, seq, "bob")
    assert isinstance(refused, Refusal)
    assert "has given" in refused.detail


def test_two_approvals_are_two_persons_and_last_as_long_as_both_say(authority: TestAuthority) -> None:
    apply(authority, policy(approvals=2))
    seq, _ = request(authority)
    answer(authority, seq, "bob", expires_s=NOW_S + 7_200)
    assert isinstance(ask(authority), Refusal)
    answer(authority, seq, "eve", expires_s=NOW_S + 600)
    released = ask(authority)
    assert isinstance(released, Release)
    assert released.certificates[0].content.valid_before == NOW_S + 600


def test_one_refusal_ends_it_also_when_it_was_given(authority: TestAuthority) -> None:
    seq, _ = request(authority)
    answer(authority, seq, "bob")
    assert answer(authority, seq, "eve", "refused") == seq + 2
    assert isinstance(ask(authority), Refusal)
    late = answer(authority, seq, "eve")
    assert isinstance(late, Refusal)
    assert "has been refused" in late.detail


def test_answer_to_what_nobody_asked_is_not_found(authority: TestAuthority) -> None:
    seq, _ = request(authority)
    signed = sign(authority, seq, "bob", "given", NOW_S + 3_600)
    assert give(authority, seq + 100, signed).slug == "not-found"


@pytest.mark.parametrize(("lasts_s", "holds"), [(0, False), (1, True), (86_400, True), (86_401, False)])
def test_refusal_holds_for_a_day_at_most(authority: TestAuthority, lasts_s: int, *, holds: bool) -> None:
    seq, _ = request(authority)
    answered = answer(authority, seq, "bob", "refused", expires_s=NOW_S + lasts_s)
    assert isinstance(answered, Refusal) != holds
