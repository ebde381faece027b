"""Holidays: looked up when a policy is applied, and from then on read from the ledger alone.

Public holidays change by law, and the library that knows them by release. What a decision rests on are the
dates that ``policy.applied`` records: whoever replays it decides on the same days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final, TypedDict

from appliance.policy.document import Policy, PolicyError, Problem
from appliance.policy.schedules import Calendar, is_calendar

# Years looked up beyond the one in which a policy is applied; after the last of them the schedule shuts. The
# year before belongs to them too: somewhere it still is when a new one has begun in UTC.
YEARS: Final = 10
# What the library has from tables, by country, ends with these; beyond, it leaves those holidays out.
_TABLES_END: Final = dict.fromkeys(("BT", "FJ", "GY", "IN", "MU", "NP", "SR"), 2035)
MAX_CALENDARS: Final = 12  # of the countries with the most holidays so many fit an entry of the ledger


class CalendarData(TypedDict):
    """A calendar as the ledger records it; dates are ``2026-12-25``, sorted."""

    calendar: str
    first_year: int
    last_year: int
    dates: list[str]


def with_holidays(policy: Policy, now_s: int) -> Policy:
    """Return a policy that is about to be applied with the holidays that its schedules name.

    Raises:
        PolicyError: the library knows no such country or part of one, or not this year's, or there are too
            many.
    """
    years = years_from(now_s)
    problems = [
        Problem(file=file, where=f'schedule "{schedule.name}": holidays', message=message)
        for file, document in policy.documents
        for schedule in document.schedules
        if schedule.holidays is not None
        and (message := find_unknown(schedule.holidays) or _find_ended(schedule.holidays, years)) is not None
    ]
    names = list_calendars(policy)
    if len(names) > MAX_CALENDARS:
        message = f"got {len(names)} different calendars, expected at most {MAX_CALENDARS}"
        problems.append(Problem(file=policy.files[0].name, where="schedule", message=message))
    if problems:
        raise PolicyError(problems)
    return replace(policy, calendars={name: look_up(name, years) for name in names})


def list_calendars(policy: Policy) -> list[str]:
    """Return the names of the calendars that a policy's schedules need, sorted."""
    return sorted({each.holidays for each in policy.schedules.values() if each.holidays is not None})


def years_from(now_s: int) -> range:
    """Return the years whose holidays are looked up for a policy that is applied at a moment."""
    year = datetime.fromtimestamp(now_s, UTC).year
    return range(year - 1, year + YEARS + 1)


def calendar_to_data(calendar: Calendar) -> CalendarData:
    """Return a calendar as the ledger records it."""
    return CalendarData(
        calendar=calendar.name,
        first_year=calendar.first_year,
        last_year=calendar.last_year,
        dates=sorted(day.isoformat() for day in calendar.dates),
    )


def calendar_from_data(data: Mapping[str, Any]) -> Calendar:
    """Parse what :func:`calendar_to_data` made."""
    return Calendar(
        name=data["calendar"],
        first_year=data["first_year"],
        last_year=data["last_year"],
        dates=frozenset(map(date.fromisoformat, data["dates"])),
    )


def find_unknown(name: str) -> str | None:
    """Say in words that the library knows no such country or part of one; None if it does."""
    country, _, part = name.partition("-")
    import holidays  # noqa: PLC0415 - as long as all else of a policy together, and seldom needed

    known = holidays.list_supported_countries()
    if country not in known:
        return f"no holidays of {country!r} are known; expected a country by its ISO 3166 code, such as DE"
    if part and part not in known[country]:
        parts = [each for each in known[country] if is_calendar(f"{country}-{each}")]
        return f"no part {part!r} of {country} is known; expected one of {', '.join(parts) or 'none'}"
    return None


def _find_ended(name: str, years: range) -> str | None:
    """Say in words that what the library knows has ended before the year in which a policy is applied."""
    last = look_up(name, years).last_year
    if last > years[0]:
        return None
    return (
        f"those of {name} are known until {last}: a later release of the package holidays may know more; "
        "without them the schedule is open on holidays too"
    )


@lru_cache(maxsize=64)
def look_up(name: str, years: range) -> Calendar:
    """Return the holidays that the library knows, of a country or part that it does know.

    ``last_year`` is the last of the years of which it knows all of them, or the one before the first.
    """
    country, _, part = name.partition("-")
    import holidays  # noqa: PLC0415 - as above

    ends = min(holidays.country_holidays(country).end_year, _TABLES_END.get(country, date.max.year))
    known = [year for year in years if year <= ends]
    found: Iterator[date] = iter(holidays.country_holidays(country, subdiv=part or None, years=known))
    return Calendar(
        name=name,
        first_year=years[0],
        last_year=years[0] + len(known) - 1,
        dates=frozenset(day for day in found if day.year in known),
    )
