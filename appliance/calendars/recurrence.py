"""Rules of recurrence (RFC 5545 §3.3.10), as far as leave recurs: by day, week, month or year."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

from dateutil import rrule

_FREQUENCIES: Final[Mapping[str, Any]] = {
    "DAILY": rrule.DAILY,
    "WEEKLY": rrule.WEEKLY,
    "MONTHLY": rrule.MONTHLY,
    "YEARLY": rrule.YEARLY,
}
_WEEKDAYS: Final = dict(zip(("MO", "TU", "WE", "TH", "FR", "SA", "SU"), rrule.weekdays, strict=True))
_BYDAY: Final = re.compile(r"([+-]?[1-9][0-9]?)?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
# What a rule may say beside how often: the parts of it that are numbers, and dateutil's names for them.
_NUMBERS: Final = {
    "BYMONTH": "bymonth",
    "BYMONTHDAY": "bymonthday",
    "BYYEARDAY": "byyearday",
    "BYWEEKNO": "byweekno",
    "BYSETPOS": "bysetpos",
}
_KNOWN: Final = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_NUMBERS}
MAX_STARTS: Final = 20_000


class UnreadableRecurrence(ValueError):
    """A rule that is none, or one by which no leave recurs."""


def lay_out(
    rule: Mapping[str, Any],
    start: datetime,
    horizon: datetime,
    on_clocks: Callable[[date | datetime], datetime],
) -> Iterator[datetime]:
    """Yield the starts by a rule, from ``start`` up to a horizon; all of it on the clocks of one zone.

    How long it takes is not bounded: a rule may look for the thirtieth of February for thousands of years.

    Raises:
        UnreadableRecurrence: it says something that is not known, or has too many starts.
    """
    if unknown := rule.keys() - _KNOWN:
        raise UnreadableRecurrence(f"recurs by {', '.join(sorted(unknown))[:60]}, which no leave does")
    try:
        frequency = _FREQUENCIES[_one(rule, "FREQ")]
        until = min([horizon, *(on_clocks(each) for each in rule.get("UNTIL", ()))])
        numbers: dict[str, Any] = {
            name: [int(each) for each in rule[key]] for key, name in _NUMBERS.items() if key in rule
        }
        weekdays = [_weekday(each, frequency) for each in rule.get("BYDAY", ())]
        if "BYWEEKNO" in rule and not rule.keys() & {"BYDAY", "BYMONTHDAY", "BYYEARDAY"}:
            # dateutil would take every day of the week, RFC 5545 the one that the event begins on.
            weekdays = [rrule.weekdays[start.weekday()]]
        starts = iter(
            rrule.rrule(
                frequency,
                dtstart=start,
                interval=int(_one(rule, "INTERVAL", 1)),
                wkst=_WEEKDAYS[_one(rule, "WKST", "MO")],
                until=until,
                byweekday=weekdays or None,
                **numbers,
            )
        )
        # COUNT and UNTIL cannot both be given to dateutil: the horizon is one.
        count = int(_one(rule, "COUNT", MAX_STARTS + 1))
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UnreadableRecurrence(f"recurs by no rule: {error}"[:200]) from error
    for number, each in enumerate(islice(starts, count)):
        if number >= MAX_STARTS:
            raise UnreadableRecurrence(f"recurs more than {MAX_STARTS} times")
        yield each


def _one(rule: Mapping[str, Any], key: str, default: Any = None) -> Any:
    values = rule.get(key)
    if values is None and default is not None:
        return default
    if not isinstance(values, list) or len(values) != 1:
        raise ValueError(f"{key} is not there, or not once")
    return values[0]


def _weekday(text: object, frequency: int) -> Any:
    match = _BYDAY.fullmatch(str(text))
    if match is None or (match[1] is not None and frequency not in {rrule.MONTHLY, rrule.YEARLY}):
        raise ValueError("BYDAY is none, or counts days other than those of a month or a year")
    day = _WEEKDAYS[match[2]]
    return day if match[1] is None else day(int(match[1]))
