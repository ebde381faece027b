"""Leave in the running service: booked, listed and cancelled over HTTPS and by the command line."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.authority.ordering.commands import CancelLeave
from appliance.cli.console import Shell
from appliance.cli.feeds import sync_feed
from appliance.cli.main import main
from appliance.clock import now_ms
from appliance.errors import Refusal
from appliance.setup.doctor import examine
from support.calendars import calendar, event
from support.ordering import give_order
from support.service import CHANCERY, Service

DAY = 86_400


def moment(after_s: float) -> str:
    return datetime.fromtimestamp(int(time.time() + after_s), UTC).isoformat()


def book(service: Service, as_: str = "carol", **body: Any) -> Any:
    reply = service.http("POST", "/v1/leave", body, as_=as_)
    assert reply.status in {200, 201}, reply.body
    return reply.json


def cancel(service: Service, leave: int) -> None:
    give_order(service, CancelLeave(leave=leave))


def listed(service: Service, query: str = "?person=ada", as_: str = "carol") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.settled(f"/v1/leave{query}", as_)["leave"]
    return found


def key(service: Service) -> str:
    return service.operator_key.with_suffix(".pub").read_text()


def test_leave_booked_late_revokes_what_is_live_and_names_itself_on_record(service: Service) -> None:
    (issued,) = service.issue({"public_key": key(service), "grant": "deploy"})
    booked = book(service, person="ada", starts=moment(0), ends=moment(DAY))
    assert booked["revoked"] == [issued["serial"]]
    assert "sessions that are open are not ended" in booked["note"]
    (live,) = booked["live"]
    assert (live["serial"], live["host_groups"]) == (issued["serial"], ["web"])
    assert live["principals"] == issued["principals"]
    shown = service.settled(f"/v1/certificates/{issued['serial']}", "dave")
    assert (shown["state"], shown["revocation"]["by"]) == ("revoked", f"entry {booked['leave']}")
    (found,) = listed(service, "?person=api:alice")
    assert (found["person"], found["state"]) == ("ada", "away")
    assert found["identities"] == ["api:alice", "mtls:alice"]
    cancel(service, booked["leave"])
    assert listed(service, "?person=ada") == []


def test_leave_of_whole_days_begins_and_ends_at_midnight_in_its_zone(service: Service) -> None:
    done = service.cli("leave", "book", "ada", "2028-12-01", "2028-12-14", "--tz", "Europe/Berlin")
    assert "2028-12-01T00:00:00+01:00" in done.stdout
    assert "2028-12-14T00:00:00+01:00 (the first moment with access again)" in done.stdout
    (found,) = listed(service)
    assert (found["starts"], found["ends"]) == ("2028-11-30T23:00:00Z", "2028-12-13T23:00:00Z")
    assert (found["timezone"], found["booked_by"]) == ("Europe/Berlin", "local:root")
    until = ("--until", "2028-12-10", "--tz", "Europe/Berlin")
    sooner = json.loads(service.order("leave", "cancel", found["leave"], *until, "--json").stdout)
    assert [entry["kind"] for entry in sooner["entries"]] == ["leave.cancelled"]
    assert listed(service)[0]["ends"] == "2028-12-09T23:00:00Z"
    cancel(service, found["leave"])
    (past,) = listed(service, "?past=true&person=ada&limit=1")
    assert past["state"] == "cancelled"


def test_same_leave_is_booked_once(service: Service) -> None:
    times = {"starts": "2029-05-01", "ends": "2029-05-02"}
    first = book(service, person="ada", **times)
    again = book(service, person="api:alice", **times)
    assert (again["leave"], again["already"]) == (first["leave"], True)
    cancel(service, first["leave"])


def test_everyone_books_and_sees_his_own_leave_and_no_other_s(service: Service) -> None:
    own = book(service, "bob", starts=moment(DAY), ends=moment(2 * DAY))
    assert own["person"] == "bob"
    refused = service.http(
        "POST", "/v1/leave", {"person": "ada", "starts": moment(0), "ends": moment(9)}, as_="bob"
    )
    assert (refused.status, refused.slug) == (403, "policy-denied")
    assert [each["leave"] for each in listed(service, "", "bob")] == [own["leave"]]
    assert service.http("GET", "/v1/leave?person=ada", as_="bob").status == 403
    # Giving access back is for operators, also one's own: by order.
    forged = {"command": {"verb": "leave.cancel", "leave": own["leave"]}, "orders": []}
    assert service.http("POST", f"/v1/leave/{own['leave']}/cancel", forged, as_="bob").status == 400
    cancel(service, own["leave"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"starts": "tomorrow"}, "starts"),
        ({"ends": "2026-02-30"}, "ends"),
        ({"timezone": "Middle/Earth"}, "timezone"),
        ({"ends": "2028-01-01"}, "ends"),
        ({"person": "Ada Lovelace"}, "person"),
        ({"forever": True}, "forever"),
    ],
)
def test_leave_that_is_none_is_refused_with_the_field(
    service: Service, changes: dict[str, Any], field: str
) -> None:
    body = {"person": "ada", "starts": "2028-01-01", "ends": "2028-01-02"} | changes
    refused = service.http("POST", "/v1/leave", body, as_="carol")
    assert (refused.status, refused.json["field"]) == (400, field)


def test_leave_of_someone_whom_the_policy_does_not_know_is_refused(service: Service) -> None:
    body = {"person": "nobody", "starts": "2028-01-01", "ends": "2028-01-02"}
    refused = service.http("POST", "/v1/leave", body, as_="carol")
    assert (refused.status, refused.slug) == (404, "not-found")


def sync(service: Service, *events: bytes, check: bool = True) -> dict[str, Any]:
    if events:
        (service.scratch / "holidays.ics").write_bytes(calendar(*events))
    shell = Shell(data=service.data)
    (feed,) = shell.config().leave.feeds
    done = sync_feed(shell, feed, now_ms(), at_once=True)
    assert done is not None
    assert check is (done.problem == "")
    return done.to_json()


def test_feed_adds_leave_and_what_vanishes_from_it_waits_for_an_operator(service: Service) -> None:
    first = event("DTSTART;VALUE=DATE:20281201", "DTEND;VALUE=DATE:20281204", "SUMMARY:Leave: ada", uid="1")
    other = event("DTSTART;VALUE=DATE:20281201", "SUMMARY:Lunch", uid="2")
    made = sync(service, first, other)
    assert (made["events"], len(made["booked"]), made["withdrawn"]) == (0, 0, [])  # beyond two years
    near = time.strftime("%Y%m%d", time.gmtime(time.time() + 30 * DAY))
    later = time.strftime("%Y%m%d", time.gmtime(time.time() + 40 * DAY))
    short = event(f"DTSTART;VALUE=DATE:{near}", "SUMMARY:Leave: ada", uid="1")
    longer = event(f"DTSTART;VALUE=DATE:{near}", f"DTEND;VALUE=DATE:{later}", "SUMMARY:Leave: ada", uid="1")
    (seq,) = sync(service, short)["booked"]
    assert sync(service, short)["booked"] == []
    (extended,) = sync(service, longer)["booked"]
    (found,) = [each for each in listed(service) if each["leave"] == extended]
    assert (found["person"], found["feed"], found["uid"]) == ("ada", "holidays", "1")
    # Shortened: the longer one holds until an operator cancels it, and the shorter one is on record already.
    shortened = sync(service, short)
    assert (shortened["booked"], shortened["withdrawn"]) == ([], [extended])
    assert sync(service, short)["withdrawn"] == []
    (pending,) = listed(service, "?person=ada&pending=true")
    assert (pending["leave"], pending["pending_cancellation"]) == (extended, True)
    # Shown again, it is as good as new.
    (again,) = sync(service, longer)["booked"]
    assert listed(service, "?person=ada&pending=true") == []
    sync(service, other)
    assert {each["leave"] for each in listed(service, "?person=ada&pending=true")} == {seq, again}
    for leave in (seq, again):
        cancel(service, leave)
    assert listed(service) == []


def day(after: int) -> str:
    return time.strftime("%Y%m%d", time.gmtime(time.time() + after * DAY))


def leave_of(summary: str, after: int, *, days: int = 1, uid: str = "1") -> bytes:
    times = (f"DTSTART;VALUE=DATE:{day(after)}", f"DTEND;VALUE=DATE:{day(after + days)}")
    return event(*times, f"SUMMARY:Leave: {summary}", uid=uid)


def cancel_all(service: Service, person: str) -> None:
    for each in listed(service, f"?person={person}"):
        cancel(service, each["leave"])


def test_event_of_nobody_keeps_nobody_else_s_leave_back(service: Service) -> None:
    nobody = [leave_of(each, 30, uid=each) for each in ("re: holiday", "Ada Lovelace", "api:")]
    done = sync(service, *nobody, leave_of("vera", 31), check=False)
    assert len(done["booked"]) == 1
    assert done["problem"] == "the policy has no person ada lovelace, api:, re: holiday"
    cancel_all(service, "vera")


def test_account_s_name_keeps_its_case_and_a_person_s_has_none(service: Service) -> None:
    sync(service, leave_of("api:Zoe", 30), leave_of("Vera", 30, uid="2"))
    assert [each["person"] for each in listed(service, "?person=api:Zoe")] == ["api:Zoe"]
    assert [each["person"] for each in listed(service, "?person=vera")] == ["vera"]
    cancel_all(service, "api:Zoe")
    cancel_all(service, "vera")


class RefusingShell(Shell):
    """A command line to whose questions about one person the authority says no."""

    def ask(self, op: str, **args: Any) -> Any:
        if args.get("body", {}).get("person") == "ada" or args.get("leave") == 0:
            raise Refusal("conflict", "ada has 1000 leaves booked: have some cancelled first")
        return super().ask(op, **args)


def test_what_one_is_refused_keeps_nobody_else_s_leave_back(service: Service) -> None:
    (service.scratch / "holidays.ics").write_bytes(calendar(leave_of("ada", 30), leave_of("vera", 30)))
    shell = RefusingShell(data=service.data)
    (feed,) = shell.config().leave.feeds
    done = sync_feed(shell, feed, now_ms(), at_once=True)
    assert done is not None
    assert done.problem == "1 refused, the first: ada has 1000 leaves booked: have some cancelled first"
    assert [each["leave"] for each in listed(service, "?person=vera")] == list(done.booked)
    cancel_all(service, "vera")


class LonelyShell(Shell):
    """A command line whose authority does not run."""

    def ask(self, op: str, **_args: Any) -> Any:
        raise Refusal("ledger-unavailable", f"the authority does not run: no {op}")


def test_feed_is_not_asked_while_there_is_nobody_to_book(service: Service) -> None:
    (service.scratch / "holidays.ics").unlink(missing_ok=True)
    shell = LonelyShell(data=service.data)
    (feed,) = shell.config().leave.feeds
    with pytest.raises(Refusal, match="no status"):
        sync_feed(shell, feed, now_ms(), at_once=True)


def test_leave_that_is_shown_of_whom_the_policy_has_no_more_is_not_withdrawn(service: Service) -> None:
    policy = service.scratch / "policy.toml"
    without = service.scratch / "without.toml"
    without.write_text(policy.read_text().replace('name = "eve"', 'name = "evelyn"'))
    (seq,) = sync(service, leave_of("eve", 30))["booked"]
    service.order("policy", "apply", without)
    done = sync(service, check=False)
    assert (done["withdrawn"], done["problem"]) == ([], "the policy has no person eve")
    service.order("policy", "apply", policy)
    assert (sync(service)["withdrawn"], sync(service)["booked"]) == ([], [])
    cancel(service, seq)


def test_other_event_of_days_that_were_overruled_is_booked(service: Service) -> None:
    (seq,) = sync(service, leave_of("vera", 50, days=9, uid="cancelled"))["booked"]
    cancel(service, seq)
    sync(service)
    (again,) = sync(service, leave_of("vera", 50, days=9, uid="another"))["booked"]
    cancel(service, again)


def test_withdrawn_leave_that_was_made_to_end_sooner_is_booked_when_it_is_shown_again(
    service: Service,
) -> None:
    vacation = leave_of("vera", 50, days=9)
    (seq,) = sync(service, vacation)["booked"]
    assert sync(service, leave_of("nobody-else", 90), check=False)["withdrawn"] == [seq]
    give_order(service, CancelLeave(leave=seq, ends_s=int(time.time()) + 55 * DAY))
    assert sync(service, check=False)["withdrawn"] == [seq]
    (again,) = sync(service, vacation)["booked"]
    assert again != seq
    cancel_all(service, "vera")


def test_what_an_operator_overrules_is_not_booked_again_until_the_event_changes(service: Service) -> None:
    near, later, latest = (
        time.strftime("%Y%m%d", time.gmtime(time.time() + days * DAY)) for days in (50, 60, 61)
    )
    vacation = event(f"DTSTART;VALUE=DATE:{near}", f"DTEND;VALUE=DATE:{later}", "SUMMARY:Leave: ada", uid="9")
    (seq,) = sync(service, vacation)["booked"]
    sooner = int(time.time()) + 55 * DAY
    give_order(service, CancelLeave(leave=seq, ends_s=sooner))
    # Not all of what is shown is on record any more: an operator has decided so.
    assert (sync(service, vacation)["booked"], sync(service, vacation)["withdrawn"]) == ([], [])
    cancel(service, seq)
    assert sync(service, vacation)["booked"] == []
    moved = event(f"DTSTART;VALUE=DATE:{near}", f"DTEND;VALUE=DATE:{latest}", "SUMMARY:Leave: ada", uid="9")
    (again,) = sync(service, moved)["booked"]
    cancel(service, again)


def test_feed_that_cannot_be_read_changes_nothing_and_is_shown(service: Service) -> None:
    near = time.strftime("%Y%m%d", time.gmtime(time.time() + 30 * DAY))
    (seq,) = sync(service, event(f"DTSTART;VALUE=DATE:{near}", "SUMMARY:Leave: ada"))["booked"]
    (service.scratch / "holidays.ics").write_bytes(b"<html>please sign in</html>")
    done = service.cli("leave", "sync", "--now", "--json", check=False)
    assert done.returncode == 1
    (failed,) = json.loads(done.stdout)["feeds"]
    assert "not a calendar" in failed["problem"]
    assert [each["leave"] for each in listed(service)] == [seq]
    assert listed(service, "?person=ada&pending=true") == []
    assert "not a calendar" in service.cli("status").stdout
    (finding,) = [each for each in examine(Shell(data=service.data).config()) if each.check == "leave"]
    assert finding.verdict == "problem"
    assert "holidays" in finding.detail
    unknown = sync(service, event(f"DTSTART;VALUE=DATE:{near}", "SUMMARY:Leave: mallory"), check=False)
    assert "no person mallory" in unknown["problem"]
    assert unknown["withdrawn"] == [seq]
    cancel(service, seq)


def test_calendar_file_is_imported(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "ada.ics"
    near = time.strftime("%Y%m%d", time.gmtime(time.time() + 30 * DAY))
    file.write_bytes(calendar(event(f"DTSTART;VALUE=DATE:{near}", "RRULE:FREQ=WEEKLY;COUNT=2")))
    done = json.loads(service.cli("leave", "import", file, "--person", "ada", "--json").stdout)
    assert [each["person"] for each in done["booked"]] == ["ada", "ada"]
    for each in done["booked"]:
        cancel(service, each["leave"])


def test_import_goes_on_after_a_refusal_tells_it_and_fails(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "team.ics"
    events = [leave_of(each, 30, uid=each) for each in ("aaron", "Ada Lovelace", "vera")]
    file.write_bytes(calendar(*events))
    arguments = ("leave", "import", file, "--summary", "Leave: {person}")
    failed = service.cli(*arguments, "--json", check=False)
    done = json.loads(failed.stdout)
    assert (failed.returncode, failed.stderr) == (1, "")
    assert [each["person"] for each in done["booked"]] == ["vera"]
    problems = {each["person"]: each["problem"] for each in done["refused"]}
    assert "the policy has no person aaron" in problems["aaron"]
    assert "person: got 'ada lovelace', expected" in problems["ada lovelace"]
    shown = service.cli(*arguments, check=False)
    assert shown.returncode == 1
    assert "the policy has no person aaron" in shown.stdout
    cancel_all(service, "vera")


@pytest.mark.parametrize(
    "arguments", [[], ["--person", "ada", "--summary", "{person}"], ["--summary", "x"], ["--attendee", "ada"]]
)
def test_import_without_a_word_on_whose_leave_it_is_is_wrong_usage(
    tmp_path: Path, arguments: list[str]
) -> None:
    done = CliRunner().invoke(main, ["--data", str(tmp_path), "leave", "import", "ada.ics", *arguments])
    assert done.exit_code == 2


def test_watched_feed_is_read_by_itself(service: Service) -> None:
    near = time.strftime("%Y%m%d", time.gmtime(time.time() + 20 * DAY))
    path = service.scratch / "holidays.ics"
    path.write_bytes(calendar(event(f"DTSTART;VALUE=DATE:{near}", "SUMMARY:Leave: ada", uid="watched")))
    (service.data / "leave" / "holidays.json").unlink(missing_ok=True)
    watching = subprocess.Popen([CHANCERY, "--data", service.data, "leave", "sync", "--watch"])
    try:
        deadline = time.monotonic() + 30
        while not (found := [each for each in listed(service) if each.get("uid") == "watched"]):
            assert time.monotonic() < deadline, "the feed was not read"
            time.sleep(0.1)
    finally:
        watching.terminate()
        watching.wait(10)
    cancel(service, found[0]["leave"])


def test_certificates_of_a_person_are_those_of_all_accounts_and_a_name_of_nobody_is_no_answer(
    service: Service,
) -> None:
    (issued,) = service.issue({"public_key": key(service), "grant": "deploy"})
    found = service.settled("/v1/certificates?subject=ada&limit=1", "dave")["certificates"]
    assert [each["serial"] for each in found] == [issued["serial"]]
    assert issued["serial"] in service.cli("cert", "list", "--subject", "ada").stdout
    nobody = service.http("GET", "/v1/certificates?subject=adda", as_="dave")
    assert nobody.slug == "not-found"
    assert "there is no person adda" in nobody.json["detail"]
    done = service.cli("cert", "list", "--subject", "adda", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    vera = service.http("GET", "/v1/certificates?subject=ada", as_="vera")
    assert vera.slug == "policy-denied"
    service.cli("cert", "revoke", issued["serial"], "--reason", "others count what is live")
