"""Hours on record: an intent's ``window`` and ``tzdata``, and what a replay by other rules can show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.evidence.findings import Code, Found
from appliance.policy.evaluate import Profile
from appliance.policy.zones import TZDATA


class OtherTimeZones(Found):
    """A decision by another version of the time zone rules, which comes out otherwise by these."""

    code = Code.OTHER_TIME_ZONES


def by_other_rules(data: Mapping[str, Any]) -> bool:
    """Say whether an intent's hours were reckoned by a version of the time zone rules that is not at hand."""
    return bool(data.get("tzdata", TZDATA) != TZDATA)


def records_hours(data: Mapping[str, Any], profile: Profile) -> bool:
    """Say whether an intent records the hours of its decision as they are."""
    bounds = profile.bounds
    expected: dict[str, object] = {}
    if bounds is not None:
        expected["window"] = bounds.to_data()
        if bounds.scheduled:
            expected["tzdata"] = data.get("tzdata") if by_other_rules(data) else TZDATA
    return {name: data[name] for name in ("window", "tzdata") if name in data} == expected


def lies_in_window(data: Mapping[str, Any], valid_after: int, valid_before: int) -> bool:
    """Say whether a certificate lies inside the hours that its intent records."""
    window: Mapping[str, int] = data.get("window", {})
    return window.get("opens_s", 0) <= valid_after and valid_before <= window.get("closes_s", valid_before)
