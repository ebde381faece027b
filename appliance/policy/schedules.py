"""Schedules: ``[[schedule]]`` as the document has it, and the spans of time that it opens.

A window belongs to the day on which it begins, also one that ends on the next: ``fri 22:00-06:00`` is open on
Saturday morning. On a holiday no window begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass as table

from appliance.policy.values import TABLE, Name, no_duplicates
from appliance.policy.zones import Span, join_spans, load_zone, spans_of_wall

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# In this many days every window of a week has had its turn, whatever day it is and however long it lasts.
LOOK_BACK: Final = 8
# Nothing that a certificate can last goes further; nor does the search for when a schedule opens again.
HORIZON: Final = 367
DAY_S: Final = 86_400
_DAY_MINUTES: Final = 24 * 60
_WINDOW: Final = re.compile(r"([a-z,-]{3,60}) (\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)
_CALENDAR: Final = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,8})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """``mon-fri 08:00-18:00``: weekdays counted from Monday as 0, minutes counted from their midnight.

    ``closes_min`` is beyond the day where the window ends on the next one.
    """

    text: str
    days: frozenset[int]
    opens_min: int
    closes_min: int

    def __str__(self) -> str:
        """Return the window as the document has it."""
        return self.text


def parse_window(text: object) -> Window:
    """Parse a window: days and times, such as ``mon-fri 08:00-18:00`` or ``sat,sun 22:00-06:00``.

    Raises:
        ValueError: it is none.
    """
    match = _WINDOW.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"got {str(text)[:80]!r}, expected days and times such as mon-fri 08:00-18:00")
    opens, closes = (_minutes(match[first], match[first + 1]) for first in (2, 4))
    if opens in {_DAY_MINUTES, closes}:
        raise ValueError(f"got {match[0]!r}, expected two different times; a whole day is 00:00-24:00")
    return Window(
        text=match[0],
        days=_parse_days(match[1]),
        opens_min=opens,
        closes_min=closes if closes > opens else closes + _DAY_MINUTES,
    )


def _minutes(hours: str, minutes: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > _DAY_MINUTES:
        raise ValueError(f"got {hours}:{minutes}, expected a time from 00:00 to 24:00")
    return total


def _parse_days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS or part.endswith("-"):
            raise ValueError(f"got {part!r}, expected days such as mon, mon-fri or sat,sun")
        start = DAYS.index(first)
        length = (DAYS.index(last or first) - start) % 7
        days |= {(start + each) % 7 for each in range(length + 1)}
    return frozenset(days)


def _check_zone(name: str) -> str:
    load_zone(name)
    return name


def is_calendar(name: str) -> bool:
    """Say whether a name is of the form of a country's, or of a part of one."""
    return _CALENDAR.fullmatch(name) is not None


def _check_calendar(name: str) -> str:
    if not is_calendar(name):
        raise ValueError(
            f"got {name[:40]!r}, expected a country (ISO 3166) such as DE, or a part such as DE-BY"
        )
    return name


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Schedule:
    """``[[schedule]]``: when the grants that name it are open."""

    name: Name
    timezone: Annotated[str, AfterValidator(_check_zone)]
    windows: Annotated[
        tuple[Annotated[Window, BeforeValidator(parse_window)], ...],
        Field(min_length=1, max_length=100),
        AfterValidator(no_duplicates),
    ]
    holidays: Annotated[str, AfterValidator(_check_calendar)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The holidays of a country or a part of one, as they were when the policy was applied.

    Nothing is known beyond the year ``last_year``, nor before ``first_year``.
    """

    name: str
    first_year: int
    last_year: int
    dates: frozenset[date]

    def knows(self, day: date) -> bool:
        """Say whether the day lies in the years that the calendar is about."""
        return self.first_year <= day.year <= self.last_year


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timetable:
    """A schedule with the holidays that its policy was applied with: open spans, asked for by moment.

    Where the years of the calendar end, the timetable is closed: a holiday that nobody knows of must not open
    anything. Two timetables are never equal, which makes what is kept of one cheap to find.
    """

    zone: ZoneInfo
    windows: tuple[Window, ...]
    calendar: Calendar | None = None

    def __str__(self) -> str:
        """Return the timetable in words, such as ``mon-fri 08:00-18:00 Europe/Berlin``."""
        free = "" if self.calendar is None else f", not on holidays of {self.calendar.name}"
        return f"{', '.join(map(str, self.windows))} {self.zone}{free}"

    def span(self, moment_s: int, until_s: int) -> Span | None:
        """Return the open span that a moment is in, if it is in one.

        It may be cut after ``until_s``, and eight days before the moment: what is open for longer is always
        open.
        """
        day = self.day(moment_s)
        for span in spans_around(self, day, until_s // DAY_S + 1):
            if span.opens_s <= moment_s < span.closes_s:
                return span
        return None

    def day(self, moment_s: int) -> int:
        """Return the day (a proleptic ordinal) that a calendar on the wall shows at a moment."""
        return datetime.fromtimestamp(moment_s, self.zone).toordinal()

    def next_opening(self, after_s: int) -> int | None:
        """Return the first moment from ``after_s`` on that is in an open span; None if none is near."""
        first = self.day(after_s)
        for day in range(first - 1, first + HORIZON):
            for span in spans_of_day(self, day):
                if span.closes_s > after_s:
                    return max(span.opens_s, after_s)
        return None


@lru_cache(maxsize=8_192)
def spans_around(timetable: Timetable, day: int, until_day: int) -> tuple[Span, ...]:
    """Return the spans that a day and the day before have a part in, as far as other days extend them.

    Kept, because it is the same for all moments of a day; ``until_day`` counts days in UTC since 1970.
    """
    return tuple(
        Span(_opened(timetable, span, day), _lasts(timetable, span, day, until_day * DAY_S))
        for span in (*spans_of_day(timetable, day - 1), *spans_of_day(timetable, day))
    )


def _opened(timetable: Timetable, span: Span, day: int) -> int:
    opens_s = span.opens_s
    for earlier in range(day, day - LOOK_BACK, -1):
        for other in reversed(spans_of_day(timetable, earlier)):
            if other.opens_s < opens_s <= other.closes_s:
                opens_s = other.opens_s
    return opens_s


def _lasts(timetable: Timetable, span: Span, day: int, until_s: int) -> int:
    closes_s = span.closes_s
    for later in range(day - 1, day + HORIZON):
        for other in spans_of_day(timetable, later):
            if other.opens_s <= closes_s < other.closes_s:
                closes_s = other.closes_s
        if closes_s >= until_s or timetable.day(closes_s) <= later:
            break
    return closes_s


@lru_cache(maxsize=8_192)
def spans_of_day(timetable: Timetable, ordinal: int) -> tuple[Span, ...]:
    """Return the spans that the windows of one day (a proleptic ordinal) open, joined and in order."""
    day = date.fromordinal(ordinal)
    calendar = timetable.calendar
    if calendar is not None and (not calendar.knows(day) or day in calendar.dates):
        return ()
    midnight = datetime.combine(day, time())
    return join_spans(
        span
        for window in timetable.windows
        if day.weekday() in window.days
        for span in spans_of_wall(
            timetable.zone,
            midnight + timedelta(minutes=window.opens_min),
            midnight + timedelta(minutes=window.closes_min),
        )
    )
