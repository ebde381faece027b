"""When a grant gives anything: its schedule, its first and last day, and the requester's leave, together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from operator import attrgetter
from typing import Final, Literal

from appliance.policy.circumstances import Away
from appliance.policy.schedules import Timetable
from appliance.policy.zones import first_showing

# More often than this nobody's leaves and windows take turns before there is room for a certificate.
_MAX_TURNS: Final = 100

ShutBy = Literal["dates", "leave", "schedule", "time-left", "approvals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A grant's own hours: from its first day to its last, both included, and by its timetable.

    The first and the last day that a calendar has, such as ``until = "9999-12-31"``, are no bounds: nothing
    lies beyond them.
    """

    timetable: Timetable | None = None
    first: date | None = None
    last: date | None = None

    @property
    def zone(self) -> tzinfo:
        """The zone in which whole days are meant."""
        return UTC if self.timetable is None else self.timetable.zone

    @property
    def starts_s(self) -> int | None:
        """The first moment of the first day."""
        if self.first is None or self.first == date.min:
            return None
        return start_of_day(self.zone, self.first)

    @property
    def ends_s(self) -> int | None:
        """The first moment after the last day."""
        if self.last is None or self.last == date.max:
            return None
        return start_of_day(self.zone, self.last + timedelta(days=1))


ALWAYS: Final = Hours()
_start_of: Final = attrgetter("starts_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A moment at which a grant is open, how far back it has been so and how long it stays so.

    ``opens_s`` and ``closes_s`` are the grant's own bounds, None where it has none; ``not_before_s`` and
    ``not_after_s`` also heed leave.
    """

    at_s: int
    opens_s: int | None
    closes_s: int | None
    not_before_s: int
    not_after_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shut:
    """What keeps a grant shut at a moment, and the next moment to look again: None is never."""

    by: ShutBy
    next_s: int | None


def look(hours: Hours, leaves: Sequence[Away], at_s: int, until_s: int, least_s: int) -> Opening | Shut:
    """Look whether a grant is open at a moment and for ``least_s``; what follows ``until_s`` is left out.

    Leaves are disjoint and in their order.
    """
    if hours is ALWAYS and not leaves:
        return Opening(at_s=at_s, opens_s=None, closes_s=None, not_before_s=0, not_after_s=until_s)
    starts_s, ends_s = hours.starts_s, hours.ends_s
    if (ends_s is not None and at_s >= ends_s) or (starts_s is not None and at_s < starts_s):
        return Shut(by="dates", next_s=starts_s if starts_s is not None and at_s < starts_s else None)
    following = bisect_right(leaves, at_s, key=_start_of)
    last = leaves[following - 1] if following else None
    if last is not None and at_s < last.ends_s:
        return Shut(by="leave", next_s=last.ends_s)
    opens_s, closes_s = starts_s, ends_s
    if hours.timetable is not None:
        span = hours.timetable.span(at_s, until_s)
        if span is None:
            return Shut(by="schedule", next_s=hours.timetable.next_opening(at_s))
        opens_s = span.opens_s if opens_s is None else max(opens_s, span.opens_s)
        closes_s = span.closes_s if closes_s is None else min(closes_s, span.closes_s)
    not_before_s, not_after_s = opens_s or 0, until_s if closes_s is None else min(closes_s, until_s)
    if following < len(leaves):
        not_after_s = min(not_after_s, leaves[following].starts_s)
    if last is not None:
        not_before_s = max(not_before_s, last.ends_s)
    if not_after_s - at_s < least_s:
        return Shut(by="time-left", next_s=not_after_s)
    return Opening(
        at_s=at_s,
        opens_s=opens_s,
        closes_s=closes_s,
        not_before_s=not_before_s,
        not_after_s=not_after_s,
    )


def find_opening(
    hours: Hours, leaves: Sequence[Away], from_s: int, *, lasts_s: int, least_s: int
) -> Opening | None:
    """Return the first opening from a moment on; None if there is none in about a year."""
    at_s: int | None = from_s
    for _ in range(_MAX_TURNS):
        if at_s is None:
            return None
        found = look(hours, leaves, at_s, at_s + lasts_s, least_s)
        if isinstance(found, Opening):
            return found
        at_s = found.next_s
    return None


@lru_cache(maxsize=8_192)
def start_of_day(zone: tzinfo, day: date) -> int:
    """Return the first moment of a day in a zone, in Unix seconds."""
    return first_showing(zone, datetime.combine(day, time()))
