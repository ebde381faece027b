"""Holidays as the library knows them: where that ends a schedule shuts, and does not open."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final

import holidays
import pytest
from holidays.groups.hindu import HinduCalendarHolidays

from appliance.policy.document import PolicyError, PolicyFile, parse_policy
from appliance.policy.holidays import find_unknown, look_up, with_holidays
from appliance.policy.schedules import Timetable, is_calendar, parse_window
from appliance.policy.zones import load_zone

YEARS: Final = range(2025, 2037)
POLICY: Final = """version = 1
[[schedule]]
name = "office"
timezone = "Asia/Colombo"
windows = ["mon-sun 00:00-24:00"]
holidays = "LK"
"""


def test_years_of_which_the_library_knows_no_holidays_are_shut() -> None:
    calendar = look_up("LK", YEARS)
    assert (calendar.first_year, calendar.last_year) == (2025, 2026)
    timetable = Timetable(
        zone=load_zone("UTC"), windows=(parse_window("mon-sun 00:00-24:00"),), calendar=calendar
    )
    assert timetable.span(noon(2026, 11, 25), noon(2026, 11, 25)) is not None
    assert timetable.span(noon(2027, 12, 25), noon(2027, 12, 25)) is None
    assert timetable.span(noon(2027, 11, 25), noon(2027, 11, 25)) is None


def noon(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, 12, tzinfo=UTC).timestamp())


def test_country_whose_known_holidays_have_ended_is_refused() -> None:
    policy = parse_policy([PolicyFile(name="0.toml", text=POLICY)])
    assert with_holidays(policy, noon(2026, 12, 31)).calendars["LK"].last_year == 2026
    with pytest.raises(PolicyError, match='schedule "office": holidays: those of LK are known until 2026'):
        with_holidays(policy, noon(2027, 1, 1))


def test_known_years_of_a_country_with_hindu_holidays_have_all_of_them() -> None:
    """The library has those from tables, and leaves out in silence what is beyond the end of one."""
    found = {}
    for country in holidays.list_supported_countries(include_aliases=False):
        if isinstance(holidays.country_holidays(country), HinduCalendarHolidays):
            last = look_up(country, YEARS).last_year
            if missing := moving(country) - days_by_name(country, last).keys():
                found[country] = (last, missing)
    assert found == {}
    assert look_up("IN", YEARS).last_year == 2035


def moving(country: str) -> set[str]:
    """Return the holidays that a country had in two years, many days sooner or later in the second."""
    one, other = days_by_name(country, 2024), days_by_name(country, 2026)
    return {name for name in one.keys() & other.keys() if abs(one[name] - other[name]) > 2}


def days_by_name(country: str, year: int) -> dict[str, int]:
    """Return on which day of the year a country celebrates what, without remarks such as "estimated"."""
    known = holidays.country_holidays(country, years=year)
    return {
        re.sub(r" *\(.*?\)", "", name): day.timetuple().tm_yday
        for day in known
        if isinstance(day, date) and day.year == year
        for name in known.get_list(day)
    }


def test_parts_that_are_named_as_possible_are_such_as_can_be_written() -> None:
    said = find_unknown("DE-XX")
    assert said is not None
    parts = said.partition("one of ")[2].split(", ")
    assert "BY" in parts
    assert all(is_calendar(f"DE-{part}") for part in parts)
