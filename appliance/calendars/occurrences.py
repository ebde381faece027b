"""The events of a calendar, as the times that they take up: recurrences laid out, exceptions applied. Pure.

All-day events are days of the feed's zone, and so are times without one (RFC 5545 §3.3.5, form 1). What is
not understood makes the whole calendar unreadable: half a calendar would look like cancelled events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event

from appliance.calendars.occurrence import Occurrence
from appliance.calendars.recurrence import UnreadableRecurrence, lay_out

# How far ahead a calendar is read: beyond, events come in as their time approaches.
HORIZON: Final = timedelta(days=2 * 366)
# Longer is no leave but a mistake in a year, and would cut somebody off for as long.
LONGEST: Final = timedelta(days=366)
MAX_OCCURRENCES: Final = 5_000
MAX_ATTENDEES: Final = 200
MAX_TEXT: Final = 255
# What icalendar and the calendar of Python raise for what is no date, or none that there is.
_MALFORMED: Final = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError)


class UnreadableCalendar(ValueError):
    """Not a calendar, or one with something in it that is not understood."""


@dataclass(frozen=True, slots=True)
class _Times:
    """When an event takes place, on the clocks of its zone."""

    start: datetime
    length: timedelta
    zone: Any
    all_day: bool


def read_calendar(raw: bytes, zone: ZoneInfo, now_s: int) -> list[Occurrence]:
    """Read what of a calendar is not over and begins within :data:`HORIZON`.

    Raises:
        UnreadableCalendar: it is not understood, all of it.
    """
    now = datetime.fromtimestamp(now_s, zone)
    try:
        events = [each for each in Calendar.from_ical(raw).walk("VEVENT") if isinstance(each, Event)]
        found = list(islice(_occurrences(events, zone, now), MAX_OCCURRENCES + 1))
    except UnreadableCalendar:
        raise
    except _MALFORMED as error:
        raise UnreadableCalendar(f"not a calendar: {error}"[:300]) from error
    if len(found) > MAX_OCCURRENCES:
        raise UnreadableCalendar(f"more than {MAX_OCCURRENCES} occurrences within two years")
    return sorted(found, key=lambda each: (each.starts_s, each.ends_s, each.uid))


def _occurrences(events: Iterable[Event], zone: ZoneInfo, now: datetime) -> Iterator[Occurrence]:
    masters, changed = [], {}
    for event in events:
        if "RECURRENCE-ID" in event:
            original = _localize(_moment(event, "RECURRENCE-ID"), zone)
            changed[_uid(event), int(original.timestamp())] = event
        else:
            masters.append(event)
    for event in masters:
        if _is_cancelled(event):
            continue
        times = _times(event, zone)
        for start in _starts(event, times, zone, now):
            replaced = changed.get((_uid(event), int(_fix(start, times.zone).timestamp())))
            if replaced is None:
                yield from _occur(event, times, start, now)
    # Also those whose master is not there: a feed may show single instances of what it does not.
    for event in changed.values():
        if not _is_cancelled(event):
            times = _times(event, zone)
            yield from _occur(event, times, times.start, now)


def _occur(event: Event, times: _Times, start: datetime, now: datetime) -> Iterator[Occurrence]:
    begin, end = _fix(start, times.zone), _fix(start + times.length, times.zone)
    if not begin < end or end <= now or begin > now + HORIZON:
        return
    if times.length > LONGEST:
        raise UnreadableCalendar(f"{_uid(event)}: lasts longer than a year")
    attendees = {_address(each) for each in _all(event, "ATTENDEE")}
    if len(attendees) > MAX_ATTENDEES:
        raise UnreadableCalendar(f"{_uid(event)}: more than {MAX_ATTENDEES} attendees")
    organizer = event.get("ORGANIZER")
    yield Occurrence(
        uid=_uid(event),
        summary=str(event.get("SUMMARY", ""))[:MAX_TEXT],
        organizer=None if organizer is None else _address(organizer),
        attendees=tuple(sorted(attendees)),
        all_day=times.all_day,
        starts_s=int(begin.timestamp()),
        ends_s=int(end.timestamp()),
    )


def _starts(event: Event, times: _Times, zone: ZoneInfo, now: datetime) -> Iterator[datetime]:
    """Yield the starts of an event on its own clocks, up to the horizon."""
    horizon = _on_clocks(now + HORIZON, times.zone)
    excluded = {_clock(each, times, zone) for each in _listed(event, "EXDATE")}
    starts = {times.start} | {_clock(each, times, zone) for each in _listed(event, "RDATE")}
    rules = _all(event, "RRULE")
    if len(rules) > 1 or "EXRULE" in event:
        raise UnreadableCalendar(f"{_uid(event)}: more than one rule of recurrence")
    try:
        for rule in rules:
            # The past is laid out too, since COUNT begins there; what is over is left out afterwards.
            starts |= set(lay_out(rule, times.start, horizon, lambda until: _clock(until, times, zone)))
    except UnreadableRecurrence as error:
        raise UnreadableCalendar(f"{_uid(event)}: {error}") from error
    yield from sorted(starts - excluded)


def _times(event: Event, zone: ZoneInfo) -> _Times:
    first = _moment(event, "DTSTART")
    start = _localize(first, zone)
    if "DTEND" in event:
        end = _localize(_moment(event, "DTEND"), zone)
    elif "DURATION" in event:
        length = getattr(event["DURATION"], "dt", None)
        if not isinstance(length, timedelta):
            raise UnreadableCalendar(f"{_uid(event)}: DURATION is none")
        end = start + length
    else:
        end = start if isinstance(first, datetime) else start + timedelta(days=1)
    clocks = start.replace(tzinfo=None)
    return _Times(
        start=clocks,
        length=_on_clocks(end, start.tzinfo) - clocks,
        zone=start.tzinfo,
        all_day=not isinstance(first, datetime),
    )


def _moment(event: Event, name: str) -> date | datetime:
    """Return the one moment or day that a property has."""
    prop = event.get(name)
    moment = getattr(prop, "dt", None)
    if not isinstance(moment, date):
        raise UnreadableCalendar(f"{_uid(event)}: {name} is not one date or time")
    if isinstance(moment, datetime) and moment.tzinfo is None and "TZID" in prop.params:
        zone = str(prop.params["TZID"])[:60]
        raise UnreadableCalendar(f"{_uid(event)}: {name} is in the unknown time zone {zone!r}")
    return moment


def _listed(event: Event, name: str) -> Iterator[date | datetime]:
    for each in _all(event, name):
        for item in getattr(each, "dts", (each,)):
            moment = getattr(item, "dt", None)
            if not isinstance(moment, date):  # a period, or nothing at all
                raise UnreadableCalendar(f"{_uid(event)}: {name} is not of dates or times")
            yield moment


def _localize(moment: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time(), zone)
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def _clock(moment: date | datetime, times: _Times, zone: ZoneInfo) -> datetime:
    """Return a moment on an event's own clocks; one without a zone is there already."""
    if isinstance(moment, datetime) and moment.tzinfo is None:
        return moment
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time() if times.all_day else times.start.time())
    return _on_clocks(_localize(moment, zone), times.zone)


def _on_clocks(moment: datetime, zone: Any) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _fix(clocks: datetime, zone: Any) -> datetime:
    """Return the moment at which the clocks of a zone say so; of two the first."""
    return clocks.replace(tzinfo=zone)


def _is_cancelled(event: Event) -> bool:
    return str(event.get("STATUS", "")).upper() == "CANCELLED"


def _all(event: Event, name: str) -> list[Any]:
    found = event.get(name)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _address(value: object) -> str:
    return str(value).strip().removeprefix("mailto:").removeprefix("MAILTO:").lower()[:MAX_TEXT]


def _uid(event: Event) -> str:
    """Return an event's UID as far as it can be shown; one that has none is known by nothing."""
    uid = "".join(each if each.isprintable() else "?" for each in str(event.get("UID", "")))[:MAX_TEXT]
    return uid.strip() or "no UID"
