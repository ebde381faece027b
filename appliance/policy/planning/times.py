"""The hours of a schedule as a value that can be compared: the minutes of a week, and days without any."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from appliance.policy.document import Policy
from appliance.policy.schedules import Schedule

_DAY_MINUTES: Final = 24 * 60
_WEEK_MINUTES: Final = 7 * _DAY_MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A schedule without its name: the minutes of a week that its windows open, as bits.

    Where there are holidays, each weekday's windows have two days of bits: it matters which day one is of.
    ``closed`` are the days, of those that are compared, on which its holidays let no window begin.
    """

    timezone: str
    minutes: int
    holidays: str | None
    closed: frozenset[date]
    text: str = field(compare=False)

    def is_within(self, other: Times) -> bool:
        """Say whether whatever is open by this is open by the other; between time zones that is not known."""
        return (
            self.timezone == other.timezone
            and other.holidays in {None, self.holidays}
            and other.closed <= self.closed
            and self._opens_no_more_than(other)
        )

    def _opens_no_more_than(self, other: Times) -> bool:
        alike = self.holidays == other.holidays
        return (self.minutes if alike else _fold(self.minutes)) | other.minutes == other.minutes


def read_times(policy: Policy, schedule: Schedule, days: Collection[date]) -> Times:
    """Return the times of a schedule of a policy; its holidays are looked at for ``days``."""
    calendar = policy.timetables[schedule.name].calendar
    minutes, closed, free = _minutes(schedule), frozenset[date](), ""
    if calendar is None:
        minutes = _fold(minutes)
    else:
        closed = frozenset(day for day in days if day in calendar.dates or not calendar.knows(day))
        ends = "" if all(map(calendar.knows, days)) else f" (known until {calendar.last_year})"
        free = f", not on holidays of {calendar.name}{ends}"
    return Times(
        timezone=schedule.timezone,
        minutes=minutes,
        holidays=schedule.holidays,
        closed=closed,
        text=f"{', '.join(map(str, schedule.windows))} {schedule.timezone}{free}",
    )


def _minutes(schedule: Schedule) -> int:
    minutes = 0
    for window in schedule.windows:
        opened = (1 << window.closes_min) - (1 << window.opens_min)
        for day in window.days:
            minutes |= opened << (day * 2 * _DAY_MINUTES)
    return minutes


def _fold(minutes: int) -> int:
    """Return the minutes of a week from those of each weekday's windows; Sunday night's are Monday's."""
    week, two_days = 0, (1 << 2 * _DAY_MINUTES) - 1
    for day in range(7):
        week |= (minutes >> day * 2 * _DAY_MINUTES & two_days) << day * _DAY_MINUTES
    return (week | week >> _WEEK_MINUTES) & (1 << _WEEK_MINUTES) - 1
