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


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # Hours last as long as they do, days until the same time, also when clocks change.
        (("20270327T200000", "DURATION:PT12H"), ("2027-03-27T20:00:00+01:00", "2027-03-28T09:00:00+02:00")),
        (("20271030T200000", "DURATION:P1D"), ("2027-10-30T20:00:00+02:00", "2027-10-31T20:00:00+01:00")),
        (("20270327T200000", "DURATION:P1DT1H"), ("2027-03-27T20:00:00+01:00", "2027-03-28T21:00:00+02:00")),
        # An end is the moment that it says, also in the hour that clocks show twice.
        (
            ("20271031T000000", "DTEND:20271031T013000Z"),
            ("2027-10-31T00:00:00+02:00", "2027-10-31T02:30:00+01:00"),
        ),
        # A start that clocks skip is as much later (RFC 5545 §3.3.5).
        (("20270328T023000", "DURATION:PT1H"), ("2027-03-28T03:30:00+02:00", "2027-03-28T04:30:00+02:00")),
    ],
)
def test_event_on_the_day_when_clocks_change_ends_when_it_says(
    lines: tuple[str, str], expected: tuple[str, str]
) -> None:
    start, end = lines
    assert read(event(f"DTSTART;TZID=Europe/Berlin:{start}", end)) == [expected]


def test_instances_of_a_recurrence_begin_and_end_at_the_same_times_when_clocks_change() -> None:
    nights = event(
        "DTSTART;TZID=Europe/Berlin:20270320T200000",
        "DTEND;TZID=Europe/Berlin:20270321T080000",
        "RRULE:FREQ=WEEKLY;COUNT=2",
    )
    assert read(nights)[1] == ("2027-03-27T20:00:00+01:00", "2027-03-28T08:00:00+02:00")
    # One that clocks skip altogether takes nothing up.
    skipped = event(
        "DTSTART;TZID=Europe/Berlin:20270327T023000",
        "DTEND;TZID=Europe/Berlin:20270327T033000",
        "RRULE:FREQ=DAILY;COUNT=3",
    )
    assert [start[:10] for start, _ in read(skipped)] == ["2027-03-27", "2027-03-29"]


def test_event_that_ended_in_the_first_of_two_equal_hours_is_over_in_the_second() -> None:
    ended = event("DTSTART;TZID=Europe/Berlin:20271031T013000", "DURATION:PT1H")
    second_s = int(datetime(2027, 10, 31, 1, 15, tzinfo=UTC).timestamp())
    assert read_calendar(calendar(ended), BERLIN, second_s) == []


def test_all_day_event_that_ends_on_its_own_day_is_that_day_and_a_time_without_length_is_none() -> None:
    assert read(event("DTSTART;VALUE=DATE:20261201", "DTEND;VALUE=DATE:20261201")) == [
        ("2026-12-01T00:00:00+01:00", "2026-12-02T00:00:00+01:00")
    ]
    assert read(event("DTSTART:20261201T080000Z", "DTEND:20261201T080000Z")) == []


def test_rule_by_weeks_of_the_year_means_the_day_on_which_the_event_begins() -> None:
    mondays = event("DTSTART;VALUE=DATE:20261130", "RRULE:FREQ=YEARLY;BYWEEKNO=49;COUNT=2")
    assert [start[:10] for start, _ in read(mondays)] == ["2026-11-30", "2027-12-06"]


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


def test_event_is_known_by_uid_and_e_mail_addresses_of_those_who_have_not_declined() -> None:
    (found,) = read_calendar(
        calendar(
            event(
                "DTSTART;VALUE=DATE:20261201",
                "SUMMARY:Leave: ada",
                "ORGANIZER;CN=Ada:MAILTO:Ada@Acme.Example",
                "ATTENDEE:mailto:bob@acme.example",
                "ATTENDEE:Mailto:eve@acme.example",
                "ATTENDEE;PARTSTAT=DECLINED:mailto:dan@acme.example",
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
        (("RECURRENCE-ID;RANGE=THISANDFUTURE:20261203T000000Z", "DTSTART:20261210T000000Z"), "RANGE"),
        (("DTSTART;VALUE=DATE:20261201", "RRULE FREQ=DAILY;COUNT=5"), "'RRULE FREQ=DAILY;COUNT=5'"),
        (("DTSTART;VALUE=DATE:20261201", "DTEND;VALUE=DATE:20261130"), "DTEND is before DTSTART"),
        (("DTSTART:20261201T000000Z", "DURATION:-PT1H"), "DURATION is none"),
        (
            ("DTSTART:20261201T000000Z", "EXDATE;TZID=Nowhere/Land:20261201T000000"),
            "EXDATE is in the unknown",
        ),
        (("DTSTART:20261201T000000Z", "RDATE;TZID=Nowhere/Land:20261205T000000"), "RDATE is in the unknown"),
        (("DTSTART:20261201T000000Z", "RRULE:FREQ=WEEKLY;BYDAY=1MO"), "BYDAY is none"),
    ],
)
def test_calendar_with_something_that_is_not_understood_is_refused_whole(
    lines: tuple[str, ...], complaint: str
) -> None:
    good = event("DTSTART;VALUE=DATE:20261201")
    with pytest.raises(UnreadableCalendar, match=complaint):
        read(good, event(*lines, uid="bad"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"<html>sign in</html>",
        b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n",
        b"BEGIN:VTODO\r\nEND:VTODO\r\n",
    ],
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


def test_calendar_whose_occurrences_say_too_much_is_refused() -> None:
    many = [f"ATTENDEE:mailto:{number:03}{'x' * 240}" for number in range(200)]
    with pytest.raises(UnreadableCalendar, match="more than 4194304 characters"):
        read(event("DTSTART;VALUE=DATE:20261201", "RRULE:FREQ=DAILY;COUNT=100", *many))
    assert len(read(event("DTSTART;VALUE=DATE:20261201", "RRULE:FREQ=DAILY;COUNT=50", *many))) == 50
