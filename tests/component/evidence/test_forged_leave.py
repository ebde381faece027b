"""Leave that was not kept, and approvals that nobody gave, in logs of sound structure: each is found."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from appliance.authority.issuing.releases import Release
from appliance.evidence.findings import Code
from appliance.requests import UserRequest
from audit.verifier import Verdict
from support.authority import POLICY, identity, running_authority
from support.circumstances import DAY, NOW_S, answer, apply, book, cancel, policy, request, withdraw
from support.forging import Entries, find, judge, read_entries
from support.ssh_examples import public_key

KEY = public_key("ed25519", 1)
EMPTY_ROOT = hashlib.sha256().hexdigest()
SOMETHING_ELSE = ("node.started", {"node": "x", "software": "x", "size": 0, "root": EMPTY_ROOT})


@pytest.fixture
def honest(tmp_path: Path) -> Entries:
    """Return a log of approvals that were given, and of leave that was kept, cancelled and withdrawn."""
    with running_authority(tmp_path / "honest.db") as authority:
        apply(authority, policy())
        seq, _ = request(authority)
        answer(authority, seq, "bob")
        assert isinstance(authority.ask(identity(), UserRequest(public_key=KEY, grant="prod")), Release)
        answer(authority, seq, "eve", "refused")
        assert isinstance(authority.ask(identity(), UserRequest(public_key=KEY, grant="logs")), Release)
        by_feed = book(authority, person="bob", source={"feed": "holidays", "uid": "1"})
        withdraw(authority, by_feed.leave.seq)
        cancel(authority, leave=by_feed.leave.seq)
        assert len(book(authority, person="alice", starts_s=NOW_S).revoked) == 2
        authority.ask(identity(), UserRequest(public_key=KEY))
    return read_entries(tmp_path / "honest.db")


def test_honest_log_is_verified_and_says_what_was_checked(tmp_path: Path, honest: Entries) -> None:
    report = judge(tmp_path / "again.db", honest)
    assert report.verdict is Verdict.VERIFIED, report.to_json()
    assert report.checked["approval signatures"] == 2
    assert report.checked["replayed refusals"] == 1


def test_log_whose_leave_revoked_what_begins_after_it_is_verified_too(tmp_path: Path) -> None:
    """As earlier releases had it."""
    with running_authority(tmp_path / "early.db") as authority:
        later = UserRequest(public_key=KEY, start_s=NOW_S + 7_200)
        released = authority.ask(identity(), later)
        assert isinstance(released, Release)
        leave = book(authority, starts_s=NOW_S, ends_s=NOW_S + 3_600).leave
    entries = read_entries(tmp_path / "early.db")
    serial = str(released.certificates[0].content.serial)
    revoked = {"serial": serial, "reason": "leave of mtls:alice", "by": leave.seq}
    entries.insert(leave.seq + 1, ("certificate.revoked", revoked))
    report = judge(tmp_path / "again.db", entries)
    assert report.verdict is Verdict.VERIFIED, report.to_json()


def keep_certificate(entries: Entries) -> None:
    entries.remove(("certificate.revoked", find(entries, "certificate.revoked", 1)))


def keep_all_certificates(entries: Entries) -> None:
    """Of a leave that is the last entry: nothing comes after it that could show what is missing."""
    while entries[-1][0] != "leave.booked":
        entries.pop()


def revoke_what_the_leave_does_not_reach(entries: Entries) -> None:
    find(entries, "certificate.revoked")["serial"] = str(1 << 48 | 999)


def revoke_by_another_entry(entries: Entries) -> None:
    find(entries, "certificate.revoked")["by"] = 3


def hide_the_leave(entries: Entries) -> None:
    """The revocations cite it still."""
    place = max(place for place, (kind, _) in enumerate(entries) if kind == "leave.booked")
    entries[place] = SOMETHING_ELSE


def book_for_another(entries: Entries) -> None:
    find(entries, "leave.booked", 1)["by"]["subject"] = "bob"


def book_for_fewer_accounts(entries: Entries) -> None:
    find(entries, "leave.booked", 1)["identities"].pop()


def book_what_is_over(entries: Entries) -> None:
    find(entries, "leave.booked", 1).update(starts_s=NOW_S - DAY, ends_s=NOW_S)


def withdraw_what_came_from_no_feed(entries: Entries) -> None:
    del find(entries, "leave.booked")["source"]


def cancel_another(entries: Entries) -> None:
    find(entries, "leave.cancelled")["leave"] += 1


def lengthen_by_cancelling(entries: Entries) -> None:
    find(entries, "leave.cancelled")["ends_s"] = NOW_S + 9 * DAY


def shorten_to_nothing(entries: Entries) -> None:
    """The bytes of the order say the same; it is by nobody's key any more."""
    cancelled = find(entries, "leave.cancelled")
    cancelled["ends_s"] = cancelled["command"]["ends_s"] = NOW_S + DAY


def shorten_not_at_all(entries: Entries) -> None:
    cancelled = find(entries, "leave.cancelled")
    cancelled["ends_s"] = cancelled["command"]["ends_s"] = NOW_S + 2 * DAY


def shorten_until_now(entries: Entries) -> None:
    find(entries, "leave.booked").update(starts_s=NOW_S - DAY)
    cancelled = find(entries, "leave.cancelled")
    cancelled["ends_s"] = cancelled["command"]["ends_s"] = NOW_S


def ask_for_a_later_answer(entries: Entries) -> None:
    find(entries, "approval.requested")["answer_by_s"] += 1


def ask_for_longer_than_the_log_lets_anything_last(entries: Entries) -> None:
    find(entries, "log.opened")["max_ttl_s"] = 3_599


def refuse_for_longer_than_a_day(entries: Entries) -> None:
    find(entries, "approval.refused")["expires_s"] = NOW_S + DAY + 1


def refuse_for_leave_that_there_is_not(entries: Entries) -> None:
    find(entries, "certificate.denied")["identity"]["subject"] = "carol"


def ask_without_a_grant(entries: Entries) -> None:
    find(entries, "approval.requested")["identity"]["subject"] = "mallory"


def ask_for_longer(entries: Entries) -> None:
    find(entries, "approval.requested")["ttl_s"] += 1


def give_as_another(entries: Entries) -> None:
    find(entries, "approval.given")["person"] = "eve"


def give_for_oneself(entries: Entries) -> None:
    find(entries, "approval.given")["person"] = "alice"


def give_for_longer(entries: Entries) -> None:
    find(entries, "approval.given")["expires_s"] += 60


def forge_the_signature(entries: Entries) -> None:
    given = find(entries, "approval.given")
    blob = bytearray(base64.b64decode(given["signature"]))
    blob[-1] ^= 1
    given["signature"] = base64.b64encode(bytes(blob)).decode()


def refuse_as_another(entries: Entries) -> None:
    find(entries, "approval.refused")["person"] = "bob"


def issue_without_approval(entries: Entries) -> None:
    place = next(place for place, (kind, _) in enumerate(entries) if kind == "approval.given")
    entries[place] = SOMETHING_ELSE


def cite_nothing(entries: Entries) -> None:
    del find(entries, "certificate.intent")["approvals"]


def cite_what_nobody_asked(entries: Entries) -> None:
    find(entries, "certificate.intent")["approvals"] = [3]


FORGERIES: Mapping[Callable[[Entries], None], set[Code]] = {
    keep_certificate: {Code.OMITTED_REVOCATION},
    keep_all_certificates: {Code.OMITTED_REVOCATION},
    revoke_what_the_leave_does_not_reach: {Code.WRONG_OUTCOME, Code.OMITTED_REVOCATION},
    revoke_by_another_entry: {Code.WRONG_CUT, Code.OMITTED_REVOCATION},
    hide_the_leave: {Code.WRONG_CUT, Code.WRONG_DENIAL},
    book_for_another: {Code.NOT_ENTITLED},
    book_for_fewer_accounts: {Code.WRONG_LEAVE},
    book_what_is_over: {Code.WRONG_LEAVE, Code.WRONG_DENIAL},
    withdraw_what_came_from_no_feed: {Code.WRONG_LEAVE},
    cancel_another: {Code.BAD_ORDER, Code.WRONG_LEAVE},
    lengthen_by_cancelling: {Code.BAD_ORDER, Code.WRONG_LEAVE},
    shorten_to_nothing: {Code.BAD_ORDER, Code.WRONG_LEAVE},
    shorten_not_at_all: {Code.BAD_ORDER, Code.WRONG_LEAVE},
    shorten_until_now: {Code.BAD_ORDER, Code.WRONG_LEAVE},
    ask_for_a_later_answer: {Code.WRONG_APPROVAL},
    ask_for_longer_than_the_log_lets_anything_last: {Code.WRONG_APPROVAL, Code.NOT_ALLOWED},
    refuse_for_longer_than_a_day: {Code.WRONG_APPROVAL},
    refuse_for_leave_that_there_is_not: {Code.WRONG_DENIAL},
    ask_without_a_grant: {Code.WRONG_APPROVAL, Code.NOT_ALLOWED},
    ask_for_longer: {Code.WRONG_APPROVAL},
    give_as_another: {Code.WRONG_APPROVAL, Code.NOT_ALLOWED},
    give_for_oneself: {Code.WRONG_APPROVAL, Code.NOT_ALLOWED},
    give_for_longer: {Code.WRONG_APPROVAL, Code.NOT_ALLOWED},
    forge_the_signature: {Code.WRONG_APPROVAL},
    refuse_as_another: {Code.WRONG_APPROVAL},
    issue_without_approval: {Code.NOT_ALLOWED},
    cite_nothing: {Code.WRONG_INTENT},
    cite_what_nobody_asked: {Code.WRONG_INTENT},
}


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_forgery_is_found(tmp_path: Path, honest: Entries, forge: Callable[[Entries], None]) -> None:
    forge(honest)
    report = judge(tmp_path / "forged.db", honest)
    assert report.structure.verdict is Verdict.VERIFIED, report.structure.to_json()
    assert report.verdict is Verdict.TAMPERED
    assert {finding.code for finding in report.findings} == FORGERIES[forge], report.to_json()


def test_each_of_two_bookings_is_held_to_its_own_revocations(tmp_path: Path) -> None:
    grant = '[[grant]]\nname = "bob"\nwho = { users = ["mtls:bob"] }\non = ["web"]\nas = ["bob"]\n'
    with running_authority(tmp_path / "honest.db") as authority:
        apply(authority, POLICY + grant)
        for name in ("alice", "bob"):
            authority.ask(identity(name), UserRequest(public_key=KEY))
        for name in ("alice", "bob"):
            assert book(authority, person=f"mtls:{name}", starts_s=NOW_S).revoked
    entries = read_entries(tmp_path / "honest.db")
    first = next(place for place, (kind, _) in enumerate(entries) if kind == "leave.booked")
    left = [each for each in entries[first:] if each[0] == "leave.booked"]
    report = judge(tmp_path / "forged.db", entries[:first] + left)
    found = [(finding.code, finding.seq) for finding in report.findings]
    assert found == [(Code.OMITTED_REVOCATION, first + 1)] * 2, report.to_json()
    assert [str(first + place) in each.message for place, each in enumerate(report.findings)] == [True, True]
