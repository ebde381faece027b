"""Leave in the authority: who may book it, what it cuts off, and that it takes an order to give back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.cutting.leaving import MAX_OWN, MAX_STANDING, Booked, BookLeave, LeaveBody
from appliance.authority.fold.state import State
from appliance.authority.issuing.releases import Release
from appliance.authority.writer import At, Decided
from appliance.errors import Refusal
from appliance.evidence.verify import verify_evidence
from appliance.requests import UserRequest
from audit.verifier import SqliteSource, Verdict
from support.authority import VKEY, TestAuthority, identity, running_authority
from support.circumstances import DAY, NOW_S, Answer, answer, apply, book, cancel, policy, request, withdraw
from support.ssh_examples import public_key

KEY = public_key("ed25519", 1)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[TestAuthority]:
    with running_authority(tmp_path / "ledger.db") as running:
        yield running
    assert running.failures == []
    with SqliteSource(running.path) as source:
        report = verify_evidence(source, pinned_key=VKEY)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


def issue(authority: TestAuthority) -> list[str]:
    released = authority.ask(identity(), UserRequest(public_key=KEY))
    assert isinstance(released, Release), released
    return sorted(str(each.content.serial) for each in released.certificates)


def test_leave_that_begins_now_revokes_what_is_live_in_its_own_transaction(authority: TestAuthority) -> None:
    serials = issue(authority)
    booked = book(authority, starts_s=NOW_S)
    assert isinstance(booked, Booked), booked
    assert sorted(booked.revoked) == serials
    revoked = [each for each in authority.state.certificates.values() if each.revoked_seq]
    assert [each.revoked_seq for each in revoked] == [booked.leave.seq + 1, booked.leave.seq + 2]


def test_leave_that_begins_later_revokes_only_what_reaches_into_it(authority: TestAuthority) -> None:
    issue(authority)  # one certificate lasts an hour, the other eight
    booked = book(authority, starts_s=NOW_S + 2 * 3_600)
    assert len(booked.revoked) == 1
    assert book(authority, starts_s=NOW_S + DAY).revoked == ()


def test_leave_leaves_alone_what_begins_when_it_is_over(authority: TestAuthority) -> None:
    """Those asked for ahead are dated back by a minute: some begin within the leave, others with its end."""
    for start_s in (NOW_S + 3_630, NOW_S + 3_660):
        released = authority.ask(identity(), UserRequest(public_key=KEY, start_s=start_s))
        assert isinstance(released, Release), released
    booked = book(authority, starts_s=NOW_S, ends_s=NOW_S + 3_600)
    revoked = {each.valid_after for each in authority.state.certificates.values() if each.revoked}
    assert (len(booked.revoked), revoked) == (2, {NOW_S + 3_570})


class Hold:
    """Keeps the writer busy, so that what comes meanwhile is decided in one batch."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def decide(self, _state: State, _at: At) -> Decided:
        assert self.over.wait(10)
        return Decided(after=lambda _entries: None)

    def refuse(self, refusal: Refusal) -> None:
        raise AssertionError(refusal)


def test_certificate_that_was_under_way_is_not_released_into_the_leave(authority: TestAuthority) -> None:
    hold, booked = Hold(), Answer()
    authority.writer.submit(hold)
    asked = authority.ask_later(identity(), UserRequest(public_key=KEY))
    body = LeaveBody(person="mtls:alice", starts_s=NOW_S, ends_s=NOW_S + DAY)
    authority.writer.submit(BookLeave(identity("carol"), body, booked))
    hold.over.set()
    refused = authority.wait(asked)
    assert isinstance(refused, Refusal)
    assert "revoked before it was released" in refused.detail
    assert len(booked.wait().revoked) == 2


def test_anyone_may_book_for_himself_and_only_by_role_for_others(authority: TestAuthority) -> None:
    assert isinstance(book(authority, by="alice"), Booked)
    refused = book(authority, by="alice", person="mtls:bob")
    assert isinstance(refused, Refusal)
    assert "role admin or operator" in refused.detail
    from_feed = book(authority, by="alice", source={"feed": "holidays", "uid": "1"})
    assert isinstance(from_feed, Refusal)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"person": "nobody"}, "no person nobody"),
        ({"starts_s": NOW_S + DAY, "ends_s": NOW_S + DAY}, "ends: is not after starts"),
        ({"starts_s": NOW_S - DAY, "ends_s": NOW_S}, "ends: has passed"),
        ({"starts_s": NOW_S, "ends_s": NOW_S + 10 * 366 * DAY}, "ends: is more than five years ahead"),
    ],
)
def test_leave_that_cannot_be_is_refused(
    authority: TestAuthority, changes: dict[str, Any], expected: str
) -> None:
    refused = book(authority, **changes)
    assert isinstance(refused, Refusal)
    assert expected in refused.detail


def test_same_leave_is_booked_once(authority: TestAuthority) -> None:
    first = book(authority)
    again = book(authority)
    assert (again.already, again.leave.seq) == (True, first.leave.seq)


def test_leaves_of_one_person_are_bounded(authority: TestAuthority) -> None:
    waiting = []
    for number in range(MAX_STANDING + 1):
        starts_s = NOW_S + DAY + 2 * number
        body = LeaveBody(person="mtls:alice", starts_s=starts_s, ends_s=starts_s + 1)
        waiting.append(Answer())
        authority.writer.submit(BookLeave(identity("carol"), body, waiting[-1]))
    *booked, refused = [each.wait() for each in waiting]
    assert all(isinstance(each, Booked) for each in booked)
    assert isinstance(refused, Refusal)
    assert refused.slug == "conflict"
    assert isinstance(book(authority, person="mtls:bob"), Booked)


def test_leaves_that_somebody_books_for_himself_are_few_beside_those_of_feeds(
    authority: TestAuthority,
) -> None:
    of_feed = {"feed": "holidays", "uid": "1"}
    assert isinstance(
        book(authority, starts_s=NOW_S + 8 * DAY, ends_s=NOW_S + 9 * DAY, source=of_feed), Booked
    )
    starts = [NOW_S + DAY + 2 * number for number in range(MAX_OWN + 1)]
    *booked, refused = [book(authority, by="alice", starts_s=each, ends_s=each + 1) for each in starts]
    assert all(isinstance(each, Booked) for each in booked)
    assert isinstance(refused, Refusal)
    assert isinstance(book(authority, starts_s=NOW_S + 9 * DAY, ends_s=NOW_S + 10 * DAY), Booked)


def test_leave_is_no_lock_who_is_away_still_approves(authority: TestAuthority) -> None:
    apply(authority, policy())
    assert isinstance(book(authority, person="bob", starts_s=NOW_S), Booked)
    seq, _ = request(authority)
    answer(authority, seq, "bob")
    assert isinstance(authority.ask(identity(), UserRequest(public_key=KEY, grant="prod")), Release)


def test_cancelled_leave_holds_no_more_and_cannot_be_cancelled_again(authority: TestAuthority) -> None:
    booked = book(authority)
    done = cancel(authority, leave=booked.leave.seq)
    assert [entry.kind for entry in done] == ["leave.cancelled"]
    assert list(authority.state.leaves) == []
    again = cancel(authority, leave=booked.leave.seq, ends_s=NOW_S + 1)
    assert isinstance(again, Refusal)
    assert again.slug == "not-found"


def test_leave_can_be_ordered_to_end_sooner_but_not_later(authority: TestAuthority) -> None:
    seq = book(authority).leave.seq
    later = cancel(authority, leave=seq, ends_s=NOW_S + 3 * DAY)
    assert isinstance(later, Refusal)
    cancel(authority, leave=seq, ends_s=NOW_S + DAY + 60)
    assert [each.ends_s for each in authority.state.leaves] == [NOW_S + DAY + 60]


def test_withdrawal_is_recorded_once_and_only_of_a_feed_s_leave(authority: TestAuthority) -> None:
    by_hand = book(authority).leave.seq
    refused = withdraw(authority, by_hand)
    assert isinstance(refused, Refusal)
    seq = book(authority, source={"feed": "holidays", "uid": "1"}).leave.seq
    assert isinstance(withdraw(authority, seq, by="alice"), Refusal)
    assert withdraw(authority, seq) == seq + 1
    assert withdraw(authority, seq) is None
