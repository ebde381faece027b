"""Calendars read: zones, recurrences and exceptions; and hostile ones, which are refused whole."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from appliance.calendars.occurrences import UnreadableCalendar, read_calendar
from support.calendars import calendar, event

BERLIN = ZoneInfo("Europe/Berlin")
NOW_S = int(datetime(2026, 11, 26, tzinfo=UTC).timestamp())


def read(*events: bytes, zone: ZoneInfo = BERLIN) -> list[tuple[str, str]]:
    """Return when the occurrences begin and end, on the zone's clocks."""
    return [
        (_clock(each.starts_s, zone), _clock(each.ends_s, zone))
        for each in read_calendar(calendar(*events), zone, NOW_S)
    ]


def _clock(moment_s: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(moment_s, zone).isoformat()


def test_all_day_event_is_days_of_the_feed_s_zone_and_its_end_is_not_part_of_it() -> None:
    two_weeks = event("DTSTART;VALUE=DATE:20261201", "DTEND;VALUE=DATE:20261214")
    assert read(two_weeks) == [("2026-12-01T00:00:00+01:00", "2026-12-14T00:00:00+01:00")]
    assert read(event("DTSTART;VALUE=DATE:20261201")) == [
        ("2026-12-01T00:00:00+01:00", "2026-12-02T00:00:00+01:00")
    ]
    tokyo = ZoneInfo("Asia/Tokyo")
    assert read(two_weeks, zone=tokyo)[0][0] == "2026-12-01T00:00:00+09:00"


def test_time_is_in_its_own_zone_also_by_the_names_that_windows_has_and_floating_in_the_feed_s() -> None:
    outlook = event(
        "DTSTART;TZID=W. Europe Standard Time:20261201T080000",
        "DTEND;TZID=W. Europe Standard Time:20261201T180000",
    )
    assert read(outlook) == [("2026-12-01T08:00:00+01:00", "2026-12-01T18:00:00+01:00")]
    assert read(event("DTSTART:20261201T080000Z", "DURATION:PT1H"))[0][0] == "2026-12-01T09:00:00+01:00"
    assert read(event("DTSTART:20261201T080000", "DURATION:PT1H"))[0][0] == "2026-12-01T08:00:00+01:00"


def test_recurrence_keeps_its_hour_when_clocks_change() -> None:
    weekly = event(
        "DTSTART;TZID=Europe/Berlin:20270322T080000",
        "DTEND;TZID=Europe/Berlin:20270322T180000",
        "RRULE:FREQ=WEEKLY;COUNT=2",
    )
    assert [start for start, _ in read(weekly)] == ["2027-03-22T08:00:00+01:00", "2027-03-29T08:00:00+02:00"]


def test_recurrence_ends_by_its_rule_leaves_out_exceptions_and_what_is_over() -> None:
    mondays = event(
        "DTSTART;TZID=Europe/Berlin:20260302T080000",
        "DURATION:PT10H",
        "RRULE:FREQ=WEEKLY;UNTIL=20261221T070000Z;BYDAY=MO",
        "EXDATE;TZID=Europe/Berlin:20261207T080000",
    )
    assert [start[:10] for start, _ in read(mondays)] == ["2026-11-30", "2026-12-14", "2026-12-21"]


def test_changed_instance_replaces_its_own_and_a_cancelled_one_takes_nothing_up() -> None:
    days = event("DTSTART;VALUE=DATE:20261201", "RRULE:FREQ=DAILY;COUNT=3", uid="a")
    moved = event("RECURRENCE-ID;VALUE=DATE:20261202", "DTSTART;VALUE=DATE:20261210", uid="a")
    gone = event(
        "RECURRENCE-ID;VALUE=DATE:20261203", "DTSTART;VALUE=DATE:20261203", "STATUS:CANCELLED", uid="a"
    )
    assert [start[:10] for start, _ in read(days, moved, gone)] == ["2026-12-01", "2026-12-10"]
    assert read(event("DTSTART;VALUE=DATE:20261201", "STATUS:CANCELLED")) == []


def test_further_dates_count_and_a_rule_without_end_ends_at_the_horizon() -> None:
    listed = event("DTSTART;VALUE=DATE:20261201", "RDATE;VALUE=DATE:20261224,20261231")
    assert [start[5:10] for start, _ in read(listed)] == ["12-01", "12-24", "12-31"]
    yearly = event("DTSTART;VALUE=DATE:20201224", "RRULE:FREQ=YEARLY")
    assert [start[:4] for start, _ in read(yearly)] == ["2026", "2027"]


def test_event_is_known_by_uid_and_e_mail_addresses() -> None:
    (found,) = read_calendar(
        calendar(
            event(
                "DTSTART;VALUE=DATE:20261201",
                "SUMMARY:Leave: ada",
                "ORGANIZER;CN=Ada:MAILTO:Ada@Acme.Example",
                "ATTENDEE:mailto:bob@acme.example",
                "ATTENDEE:mailto:eve@acme.example",
                uid="17@calendar",
            )
        ),
        BERLIN,
        NOW_S,
    )
    assert (found.uid, found.summary, found.organizer) == ("17@calendar", "Leave: ada", "ada@acme.example")
    assert found.attendees == ("bob@acme.example", "eve@acme.example")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (("DTSTART;TZID=Nowhere/Land:20261201T000000", "DURATION:P1D"), "unknown time zone 'Nowhere/Land'"),
        (("DTSTART;TZID=../../etc/passwd:20261201T000000", "DURATION:P1D"), "unknown time zone"),
        (("DTSTART:yesterday",), "DTSTART"),
        (("SUMMARY:no start",), "DTSTART"),
        (("DTSTART;VALUE=DATE:20261201", "DTSTART;VALUE=DATE:20261202"), "DTSTART is not one"),
        (("DTSTART:20261201T000000Z", "RRULE:FREQ=SECONDLY"), "recurs by no rule"),
        (("DTSTART:20261201T000000Z", "RRULE:FREQ=DAILY;BYHOUR=1,2,3,4"), "BYHOUR, which no leave does"),
        (("DTSTART:20261201T000000Z", "RRULE:FREQ=DAILY;INTERVAL=0"), "recurs"),
        (("DTSTART:00010101T000000Z", "DURATION:P1D", "RRULE:FREQ=DAILY"), "recurs more than"),
        (("DTSTART:20261201T000000Z", "RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY"), "more than one rule"),
        (("DTSTART:20261201T000000Z", "DURATION:P30D", "DTEND:99991231T235959Z"), "longer than a year"),
        (("DTSTART:99991231T000000Z", "DURATION:P30D"), "not a calendar"),
        (
            ("DTSTART:20261201T000000Z", "DURATION:P1D", *(f"ATTENDEE:mailto:{n}@x" for n in range(201))),
            "more than 200 attendees",
        ),
    ],
)
def test_calendar_with_something_that_is_not_understood_is_refused_whole(
    lines: tuple[str, ...], complaint: str
) -> None:
    good = event("DTSTART;VALUE=DATE:20261201")
    with pytest.raises(UnreadableCalendar, match=complaint):
        read(good, event(*lines, uid="bad"))


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b"<html>sign in</html>", b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n"]
)
def test_what_is_no_calendar_is_refused(raw: bytes) -> None:
    with pytest.raises(UnreadableCalendar):
        read_calendar(raw, BERLIN, NOW_S)


def test_calendar_with_too_many_occurrences_is_refused() -> None:
    daily = [
        event("DTSTART:20260101T000000Z", "DURATION:P1D", "RRULE:FREQ=DAILY", uid=str(n)) for n in range(8)
    ]
    with pytest.raises(UnreadableCalendar, match="more than 5000"):
        read(*daily)
