"""Hours by looking at the clock on the wall, minute after minute: what the arithmetic must agree with."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import tzdata

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@cache
def load(zone: str) -> ZoneInfo:
    """Load a zone from the same rules: those of the machine may be of another year, and are no oracle."""
    place = Path(str(tzdata.__file__)).with_name("zoneinfo") / zone
    with place.open("rb") as source:
        return ZoneInfo.from_file(source)


def is_open(windows: Collection[str], zone: str, holidays: Collection[date], moment_s: int) -> bool:
    """Say whether the clock shows a time in one of the windows that begin on this day or the day before."""
    wall = datetime.fromtimestamp(moment_s, load(zone)).replace(tzinfo=None)
    for window in windows:
        days, times = window.split(" ")
        opens, closes = (_minutes(text) for text in times.split("-"))
        if closes <= opens:
            closes += 24 * 60
        for begins in (wall.date(), wall.date() - timedelta(days=1)):
            if begins in holidays or DAYS[begins.weekday()] not in set(_days(days)):
                continue
            midnight = datetime.combine(begins, time())
            if midnight + timedelta(minutes=opens) <= wall < midnight + timedelta(minutes=closes):
                return True
    return False


def day_of(zone: str, moment_s: int) -> date:
    """Return the day that the wall's calendar shows."""
    return datetime.fromtimestamp(moment_s, load(zone)).date()


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _days(text: str) -> Iterator[str]:
    for part in text.split(","):
        first, *last = part.split("-")
        place = DAYS.index(first)
        yield DAYS[place]
        while last and DAYS[place % 7] != last[0]:
            place += 1
            yield DAYS[place % 7]
