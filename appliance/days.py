"""Days and moments as people write them when they plan: ``2026-12-01`` in a time zone, or RFC 3339."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from appliance.moments import parse_moment_ms
from appliance.policy.zones import load_zone

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def parse_day_or_moment(text: str, zone: ZoneInfo) -> int:
    """Parse a moment, or the day that begins with one in that zone; return it in Unix seconds.

    Raises:
        ValueError: it is neither.
    """
    if _DAY.fullmatch(text) is None:
        return parse_moment_ms(text) // 1000
    try:
        # Where a day begins with the hour that is left out, this is the moment at which it is left out.
        begins_s = int(datetime.combine(date.fromisoformat(text), time(), zone).timestamp())
    except (OverflowError, ValueError) as error:
        raise ValueError(f"got {text}, and there is no such day") from error
    if begins_s < 0:
        raise ValueError(f"got {text}, expected a day after 1970")
    return begins_s


def is_day(text: str) -> bool:
    """Say whether a text is of the form of a day."""
    return _DAY.fullmatch(text) is not None


def check_zone(name: str) -> str:
    """Check that there is a time zone of that name, and return the name; raises as :func:`load_zone`."""
    return load_zone(name).key


def format_on_clocks(moment_s: int, zone: ZoneInfo) -> str:
    """Format Unix seconds as the clocks of a zone show them: ``2026-12-01T00:00:00+01:00``."""
    return datetime.fromtimestamp(moment_s, zone).isoformat()
