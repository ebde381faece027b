"""The limits of a grant as values that can be compared: whether one is nowhere wider than another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from appliance.durations import format_duration
from appliance.networks import intersect_networks
from appliance.policy.document import Policy
from appliance.policy.schedules import Schedule
from appliance.policy.tables import Grant

_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A schedule without its name: the minutes that each weekday's windows open, as bits."""

    timezone: str
    minutes: int
    holidays: str | None
    text: str

    def is_within(self, other: Times) -> bool:
        """Say whether whatever is open by this is open by the other; between time zones that is not known."""
        return (
            self.timezone == other.timezone
            and self.minutes | other.minutes == other.minutes
            and other.holidays in {None, self.holidays}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All that a grant says beside who, where and as whom."""

    ttl_s: int
    source: tuple[str, ...] | None
    force_command: str | None
    permit: frozenset[str]
    times: Times | None
    first: date | None
    last: date | None
    delegates: frozenset[str]
    conditions: frozenset[str]
    key_types: frozenset[str] | None
    max_auth_age_s: int | None
    approvals: int
    approvers: frozenset[str]

    def is_within(self, other: Limits) -> bool:
        """Say whether a grant with these limits gives nothing that one with the others does not."""
        return (
            self.ttl_s <= other.ttl_s
            and _sources_within(self.source, other.source)
            and other.force_command in {None, self.force_command}
            and self.permit <= other.permit
            and (other.times is None or (self.times is not None and self.times.is_within(other.times)))
            and (other.first is None or (self.first is not None and self.first >= other.first))
            and (other.last is None or (self.last is not None and self.last <= other.last))
            and self.delegates <= other.delegates
            and self._requires_as_much_as(other)
        )

    def _requires_as_much_as(self, other: Limits) -> bool:
        age_s = other.max_auth_age_s
        return (
            self.conditions >= other.conditions
            and (
                other.key_types is None or (self.key_types is not None and self.key_types <= other.key_types)
            )
            and (age_s is None or (self.max_auth_age_s is not None and self.max_auth_age_s <= age_s))
            and (not other.approvals or self.approvers <= other.approvers)
            and self.approvals >= other.approvals
        )

    def __str__(self) -> str:
        """Return the limits in words, those that there are."""
        return "; ".join(self._words())

    def _words(self) -> Iterator[str]:
        yield format_duration(self.ttl_s)
        if self.permit:
            yield ", ".join(sorted(self.permit))
        if self.source is not None:
            yield f"from {', '.join(self.source)}"
        if self.force_command is not None:
            yield f"only {self.force_command!r}"
        if self.times is not None:
            yield self.times.text
        days = (("from", self.first), ("until", self.last))
        yield from (f"{word} {day}" for word, day in days if day is not None)
        if self.delegates:
            yield f"also through {', '.join(sorted(self.delegates))}"
        yield from (f"needs {condition}" for condition in sorted(self.conditions))
        if self.key_types is not None:
            yield f"needs a key of the type {' or '.join(sorted(self.key_types))}"
        if self.max_auth_age_s is not None:
            yield f"needs signing in within the last {format_duration(self.max_auth_age_s)}"
        if self.approvals:
            yield f"needs {self.approvals} approvals by {', '.join(sorted(self.approvers))}"


def limits_of(policy: Policy, grant: Grant) -> Limits:
    """Return the limits of a grant of a policy."""
    require = grant.require
    members = (name for group in require.approvers for name in policy.groups[group].members)
    flags = {
        "a PIN or a fingerprint at each login": require.verify,
        "a touch": require.touch,
        "more than one factor": require.mfa,
        "a reason": require.reason,
    }
    return Limits(
        ttl_s=grant.ttl_s,
        source=grant.source,
        force_command=grant.force_command,
        permit=frozenset(grant.permit),
        times=None if grant.when is None else _times(policy.schedules[grant.when]),
        first=grant.first,
        last=grant.last,
        delegates=frozenset(grant.delegates),
        conditions=frozenset(words for words, required in flags.items() if required),
        key_types=None if require.key_types is None else frozenset(require.key_types),
        max_auth_age_s=require.max_auth_age_s,
        approvals=require.approvals,
        approvers=frozenset(map(policy.who_is, members)),
    )


def _times(schedule: Schedule) -> Times:
    minutes = 0
    for window in schedule.windows:
        opened = (1 << window.closes_min) - (1 << window.opens_min)
        for day in window.days:
            # Two days apart, so that what a window opens on the next day stays the window's own day's.
            minutes |= opened << (day * 2 * _DAY_MINUTES)
    free = "" if schedule.holidays is None else f", not on holidays of {schedule.holidays}"
    text = f"{', '.join(map(str, schedule.windows))} {schedule.timezone}{free}"
    return Times(timezone=schedule.timezone, minutes=minutes, holidays=schedule.holidays, text=text)


def _sources_within(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> bool:
    if other is None:
        return True
    return one is not None and intersect_networks(one, other) == one
