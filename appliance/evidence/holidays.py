"""Holidays on record: the calendars that a policy needs, of the years that it is applied for.

No order is over them, for they are looked up when it is carried out. Which calendars and years there are is
fixed, so that none is left out; what days they have is the library's, and another release may know others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from appliance.evidence.findings import Code, Found
from appliance.policy.document import Policy
from appliance.policy.holidays import (
    calendar_from_data,
    calendar_to_data,
    find_unknown,
    list_calendars,
    look_up,
    years_from,
)
from appliance.policy.schedules import Calendar
from audit.entry import Entry

# Holidays are looked up before the writer has its turn, perhaps in the year before.
_WAITED_S: Final = 600


class WrongHolidays(Found):
    """Calendars that are not those of the policy, or not of the years that it was applied for."""

    code = Code.BAD_MEANING


class OtherHolidays(Found):
    """Holidays that the library at hand does not know, or not all that it knows."""

    code = Code.OTHER_HOLIDAYS


def check_holidays(policy: Policy, entry: Entry) -> None:
    """Check the calendars that a ``policy.applied`` has for its policy.

    Raises:
        WrongHolidays, OtherHolidays, and whatever malformed data raise.
    """
    data: Mapping[str, Any] = entry.data
    recorded = data.get("holidays", [])
    calendars = [calendar_from_data(each) for each in recorded]
    names, expected = [calendar.name for calendar in calendars], list_calendars(policy)
    if names != expected or ("holidays" in data) != bool(expected):
        raise WrongHolidays(f"has the holidays of {names}, and its schedules name {expected}")
    now_s = entry.time_ms // 1000
    possible = [years_from(moment_s) for moment_s in (now_s, now_s - _WAITED_S)]
    # A calendar that ends sooner is the library's; whether it does so for the one at hand is compared below.
    if calendars and not any(_lies_in(calendars, years) for years in possible):
        raise WrongHolidays(f"has holidays of other years than {possible[0][0]} to {possible[0][-1]}")
    if any(not calendar.knows(day) for calendar in calendars for day in calendar.dates):
        raise WrongHolidays("has holidays outside the years that it has them of")
    if [calendar_to_data(calendar) for calendar in calendars] != recorded:
        raise WrongHolidays("has holidays twice or in disorder")
    years = next(years for years in possible if _lies_in(calendars, years))
    differences = [said for calendar in calendars if (said := _compare(calendar, years)) is not None]
    if differences:
        raise OtherHolidays("; ".join(differences))


def _lies_in(calendars: Sequence[Calendar], years: range) -> bool:
    return all(each.first_year == years[0] and each.last_year <= years[-1] for each in calendars)


def _compare(calendar: Calendar, years: range) -> str | None:
    """Say what the library at hand knows otherwise, of the years for which a policy was applied."""
    unknown = find_unknown(calendar.name)
    if unknown is not None:
        return unknown
    here = look_up(calendar.name, years)
    if here.last_year != calendar.last_year:
        return (
            f"the holidays of {calendar.name} end with {calendar.last_year}, and here with {here.last_year}"
        )
    if here.dates == calendar.dates:
        return None
    missing, more = sorted(here.dates - calendar.dates), sorted(calendar.dates - here.dates)
    lists = [(missing, "are not on record"), (more, "are on record and not known here")]
    said = [f"{len(days)} days, first {days[0]}, {words}" for days, words in lists if days]
    return f"of the holidays of {calendar.name} {' and '.join(said)}"
