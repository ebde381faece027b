"""When an event takes place: on the clocks of its zone, and as moments. Pure.

Days last as long as they do, and hours always an hour (RFC 5545 §3.3.6): what begins on the evening before
the clocks change and lasts for a day ends at the same time, what lasts for twelve hours does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from icalendar import Event

_NOTHING: Final = timedelta(0)
_DAY: Final = timedelta(days=1)


class UnreadableTime(ValueError):
    """Not one date or time, in no known zone, or an end that is before its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When an event takes place, on the clocks of its zone.

    It lasts for ``length`` by these clocks and ``exact`` more; ``end`` is where the first instance ends, if
    the event says so itself.
    """

    start: datetime
    zone: Any
    length: timedelta
    exact: timedelta = _NOTHING
    end: datetime | None = None
    all_day: bool

    def span(self, start: datetime) -> tuple[datetime, datetime]:
        """Return the moments, in UTC, from and until which an instance lasts that begins then."""
        begin = fix(start, self.zone)
        if start == self.start and self.end is not None:
            return begin, self.end
        return begin, fix(start + self.length, self.zone) + self.exact

    def clock(self, moment: date | datetime) -> datetime:
        """Return a moment on the event's own clocks; one without a zone is there already."""
        if isinstance(moment, datetime) and moment.tzinfo is None:
            return moment
        if not isinstance(moment, datetime):
            return datetime.combine(moment, time() if self.all_day else self.start.time())
        return on_clocks(moment, self.zone)


def read_times(event: Event, zone: ZoneInfo) -> Times:
    """Read when an event takes place; ``zone`` is that of days, and of times that name none.

    Raises:
        UnreadableTime: it does not say so.
    """
    first = read_moment(event, "DTSTART")
    all_day = not isinstance(first, datetime)
    start = localize(first, zone)
    clocks = start.replace(tzinfo=None)
    if "DTEND" not in event:
        length = _read_duration(event, all_day=all_day)
        exact = timedelta(seconds=length.seconds)
        return Times(start=clocks, zone=start.tzinfo, length=length - exact, exact=exact, all_day=all_day)
    end = localize(read_moment(event, "DTEND"), zone)
    length = on_clocks(end, start.tzinfo) - clocks
    if length < _NOTHING and end.astimezone(UTC) < start.astimezone(UTC):
        raise UnreadableTime("DTEND is before DTSTART")
    if all_day and not length:  # not what RFC 5545 has, and what some write for one day
        length, end = _DAY, localize(first + _DAY, zone)
    return Times(start=clocks, zone=start.tzinfo, length=length, end=end.astimezone(UTC), all_day=all_day)


def _read_duration(event: Event, *, all_day: bool) -> timedelta:
    if "DURATION" not in event:
        return _DAY if all_day else _NOTHING
    length = getattr(event["DURATION"], "dt", None)
    if not isinstance(length, timedelta) or length < _NOTHING:
        raise UnreadableTime("DURATION is none")
    return length


def read_moment(event: Event, name: str) -> date | datetime:
    """Return the one moment or day that a property has.

    Raises:
        UnreadableTime: it has none, or more than one, or its zone is not known.
    """
    prop = event.get(name)
    moment = getattr(prop, "dt", None)
    if not isinstance(moment, date):
        raise UnreadableTime(f"{name} is not one date or time")
    _check_zone(name, moment, prop)
    return moment


def list_moments(event: Event, name: str) -> Iterator[date | datetime]:
    """Yield the moments or days that a property has, however often it is there.

    Raises:
        UnreadableTime: it has something else, or its zone is not known.
    """
    found = event.get(name, ())
    for each in found if isinstance(found, list | tuple) else (found,):
        for item in getattr(each, "dts", (each,)):
            moment = getattr(item, "dt", None)
            if not isinstance(moment, date):  # a period, or nothing at all
                raise UnreadableTime(f"{name} is not of dates or times")
            _check_zone(name, moment, each)
            yield moment


def _check_zone(name: str, moment: date, prop: Any) -> None:
    if isinstance(moment, datetime) and moment.tzinfo is None and "TZID" in prop.params:
        raise UnreadableTime(f"{name} is in the unknown time zone {str(prop.params['TZID'])[:60]!r}")


def localize(moment: date | datetime, zone: ZoneInfo) -> datetime:
    """Return a moment with a zone; a day is its midnight."""
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time(), zone)
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def on_clocks(moment: datetime, zone: Any) -> datetime:
    """Return what the clocks of a zone show at a moment."""
    return moment.astimezone(zone).replace(tzinfo=None)


def fix(clocks: datetime, zone: Any) -> datetime:
    """Return the moment, in UTC, at which the clocks of a zone say so; of two the first."""
    return clocks.replace(tzinfo=zone).astimezone(UTC)
