"""The events of a calendar, as the times that they take up: recurrences laid out, exceptions applied. Pure.

All-day events are days of the feed's zone, and so are times without one (RFC 5545 §3.3.5, form 1). What is
not understood makes the whole calendar unreadable: half a calendar would look like cancelled events.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event

from appliance.calendars.occurrence import Occurrence
from appliance.calendars.recurrence import UnreadableRecurrence, lay_out
from appliance.calendars.times import (
    Times,
    UnreadableTime,
    list_moments,
    localize,
    on_clocks,
    read_moment,
    read_times,
)

# How far ahead a calendar is read: beyond, events come in as their time approaches.
HORIZON: Final = timedelta(days=2 * 366)
# Longer is no leave but a mistake in a year, and would cut somebody off for as long.
LONGEST: Final = timedelta(days=366)
MAX_OCCURRENCES: Final = 5_000
MAX_ATTENDEES: Final = 200
MAX_TEXT: Final = 255
# Of the texts of all occurrences, which are told to whoever asked: an event's count each time that it recurs.
MAX_CHARACTERS: Final = 4_194_304
# What icalendar and the calendar of Python raise for what is no date, or none that there is.
_MALFORMED: Final = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError)


class UnreadableCalendar(ValueError):
    """Not a calendar, or one with something in it that is not understood."""


def read_calendar(raw: bytes, zone: ZoneInfo, now_s: int) -> list[Occurrence]:
    """Read what of a calendar is not over and begins within :data:`HORIZON`.

    Raises:
        UnreadableCalendar: it is not understood, all of it.
    """
    now = datetime.fromtimestamp(now_s, UTC)
    try:
        found = list(islice(_occurrences(_read_events(raw), zone, now), MAX_OCCURRENCES + 1))
    except UnreadableCalendar:
        raise
    except _MALFORMED as error:
        raise UnreadableCalendar(f"not a calendar: {error}"[:300]) from error
    if len(found) > MAX_OCCURRENCES:
        raise UnreadableCalendar(f"more than {MAX_OCCURRENCES} occurrences within two years")
    if _characters(found) > MAX_CHARACTERS:
        raise UnreadableCalendar(f"its occurrences say more than {MAX_CHARACTERS} characters")
    return sorted(found, key=lambda each: (each.starts_s, each.ends_s, each.uid))


def _read_events(raw: bytes) -> Iterator[Event]:
    calendar = Calendar.from_ical(raw)
    if calendar.name != "VCALENDAR":
        raise UnreadableCalendar(f"not a calendar: it begins with {str(calendar.name)[:60]}")
    for event in calendar.walk("VEVENT"):
        if not isinstance(event, Event):
            continue
        # Values that are none fail where they are asked for; lines that are none are nowhere else.
        if lines := [said for name, said in event.errors if name is None]:
            raise UnreadableCalendar(f"{_uid(event)}: {lines[0]}"[:300])
        yield event


def _occurrences(events: Iterable[Event], zone: ZoneInfo, now: datetime) -> Iterator[Occurrence]:
    masters: list[Event] = []
    changed: dict[str, dict[datetime, Event]] = {}
    for event in events:
        if "RECURRENCE-ID" in event:
            with _said_of(event):
                changed.setdefault(_uid(event), {})[_read_original(event, zone)] = event
        else:
            masters.append(event)
    for event in masters:
        yield from _instances(event, zone, now, changed.get(_uid(event), ()))
    # Also those whose master is not there: a feed may show single instances of what it does not.
    for event in chain.from_iterable(each.values() for each in changed.values()):
        yield from _instances(event, zone, now, ())


def _read_original(event: Event, zone: ZoneInfo) -> datetime:
    if "RANGE" in event["RECURRENCE-ID"].params:
        raise UnreadableTime("RECURRENCE-ID has a RANGE: which instances are changed is not understood")
    return localize(read_moment(event, "RECURRENCE-ID"), zone).astimezone(UTC)


def _instances(
    event: Event, zone: ZoneInfo, now: datetime, replaced: Container[datetime]
) -> Iterator[Occurrence]:
    """Yield when an event takes place, but for the instances that others replace."""
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        return
    with _said_of(event):
        times = read_times(event, zone)
        shown = [
            (begin, end)
            for begin, end in map(times.span, _starts(event, times, now))
            if begin < end and now < end and begin <= now + HORIZON and begin not in replaced
        ]
        if not shown:
            return
        if times.length + times.exact > LONGEST:
            raise UnreadableTime("lasts longer than a year")
        instance = _read_texts(event, all_day=times.all_day)
    for begin, end in shown:
        yield replace(instance, starts_s=int(begin.timestamp()), ends_s=int(end.timestamp()))


def _starts(event: Event, times: Times, now: datetime) -> list[datetime]:
    """Return the starts of an event on its own clocks, up to the horizon."""
    if "RECURRENCE-ID" in event:
        return [times.start]
    excluded, further = (
        {times.clock(each) for each in list_moments(event, name)} for name in ("EXDATE", "RDATE")
    )
    starts = {times.start} | further
    rules = _all(event, "RRULE")
    if len(rules) > 1 or "EXRULE" in event:
        raise UnreadableTime("more than one rule of recurrence")
    for rule in rules:
        # The past is laid out too, since COUNT begins there; what is over is left out afterwards.
        horizon = on_clocks(now + HORIZON, times.zone)
        starts.update(lay_out(rule, times.start, horizon, times.clock))
    return sorted(starts - excluded)


def _read_texts(event: Event, *, all_day: bool) -> Occurrence:
    """Return an instance of an event that has all but its times."""
    attendees = {
        _address(each)
        for each in _all(event, "ATTENDEE")
        if str(getattr(each, "params", {}).get("PARTSTAT", "")).upper() != "DECLINED"
    }
    if len(attendees) > MAX_ATTENDEES:
        raise UnreadableTime(f"more than {MAX_ATTENDEES} attendees")
    organizer = event.get("ORGANIZER")
    return Occurrence(
        uid=_uid(event),
        summary=str(event.get("SUMMARY", ""))[:MAX_TEXT],
        organizer=None if organizer is None else _address(organizer),
        attendees=tuple(sorted(attendees)),
        all_day=all_day,
        starts_s=0,
        ends_s=0,
    )


@contextmanager
def _said_of(event: Event) -> Iterator[None]:
    """Say of which event something is not understood."""
    try:
        yield
    except (UnreadableTime, UnreadableRecurrence) as error:
        raise UnreadableCalendar(f"{_uid(event)}: {error}") from error


def _characters(found: Iterable[Occurrence]) -> int:
    return sum(
        len(each.uid) + len(each.summary) + len(each.organizer or "") + sum(map(len, each.attendees))
        for each in found
    )


def _all(event: Event, name: str) -> list[Any]:
    found = event.get(name)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _address(value: object) -> str:
    return str(value).strip().lower().removeprefix("mailto:")[:MAX_TEXT]


def _uid(event: Event) -> str:
    """Return an event's UID as far as it can be shown; one that has none is known by nothing."""
    uid = "".join(each if each.isprintable() else "?" for each in str(event.get("UID", "")))[:MAX_TEXT]
    return uid.strip() or "no UID"
