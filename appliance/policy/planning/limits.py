"""The limits of a grant as values that can be compared: whether one is nowhere wider than another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final

from appliance.durations import format_duration
from appliance.networks import intersect_networks
from appliance.policy.document import Policy
from appliance.policy.planning.times import Times, read_times
from appliance.policy.tables import Grant

_MAX_NAMES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All that a grant says beside who, where and as whom.

    ``zone`` is where ``first`` and ``last`` are days, empty if it has neither. ``approved`` is the name that
    approvals are given for, where the grant requires some.
    """

    ttl_s: int
    source: tuple[str, ...] | None
    force_command: str | None
    permit: frozenset[str]
    times: Times | None
    first: date | None
    last: date | None
    zone: str
    delegates: frozenset[str]
    conditions: frozenset[str]
    key_types: frozenset[str] | None
    max_auth_age_s: int | None
    approvals: int
    approvers: frozenset[str]
    approved: str | None
    break_glass: bool

    def is_within(self, other: Limits) -> bool:
        """Say whether a grant with these limits gives nothing that one with the others does not.

        Then it is also met only when the other is, and its certificates last no longer.
        """
        return (
            self.ttl_s <= other.ttl_s
            and _sources_within(self.source, other.source)
            and other.force_command in {None, self.force_command}
            and self.permit <= other.permit
            and (other.times is None or (self.times is not None and self.times.is_within(other.times)))
            and self._days_within(other)
            and self.delegates <= other.delegates
            and self._requires_as_much_as(other)
            and (self.break_glass or not other.break_glass)
        )

    def is_needless_after(self, earlier: Limits) -> bool:
        """Say whether a grant with these limits never counts, since an earlier one with the others does.

        That one is met whenever this one is, opens when it opens and lasts as long. If it opens at other
        hours it is no help to whoever asks for a certificate that begins later.
        """
        hours = (self.times, self.first, self.last, self.zone)
        return hours == (earlier.times, earlier.first, earlier.last, earlier.zone) and self.is_within(earlier)

    def _days_within(self, other: Limits) -> bool:
        if other.first is None and other.last is None:
            return True
        return (
            self.zone == other.zone  # elsewhere a day is not the same hours
            and (other.first is None or (self.first is not None and self.first >= other.first))
            and (other.last is None or (self.last is not None and self.last <= other.last))
        )

    def _requires_as_much_as(self, other: Limits) -> bool:
        age_s = other.max_auth_age_s
        return (
            self.conditions >= other.conditions
            and (
                other.key_types is None or (self.key_types is not None and self.key_types <= other.key_types)
            )
            and (age_s is None or (self.max_auth_age_s is not None and self.max_auth_age_s <= age_s))
            and (not other.approvals or self._approved_as(other))
        )

    def _approved_as(self, other: Limits) -> bool:
        """Say whether whatever approves this approves the other: approvals are given for a grant's name."""
        return (
            self.approved == other.approved
            and self.approvals >= other.approvals
            and self.approvers <= other.approvers
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
            yield f"also through {list_some(self.delegates)}"
        yield from (f"needs {condition}" for condition in sorted(self.conditions))
        if self.key_types is not None:
            yield f"needs a key of the type {' or '.join(sorted(self.key_types))}"
        if self.max_auth_age_s is not None:
            yield f"needs signing in within the last {format_duration(self.max_auth_age_s)}"
        if self.approvals:
            number = "an approval" if self.approvals == 1 else f"{self.approvals} approvals"
            yield f"needs {number} of {self.approved!r} by {list_some(self.approvers)}"
        if self.break_glass:
            yield "for emergencies only"


class LimitsReader:
    """Reads the limits of a policy's grants; holidays are looked at for ``days``."""

    def __init__(self, policy: Policy, days: Collection[date]) -> None:
        self._policy = policy
        self._times = {name: read_times(policy, each, days) for name, each in policy.schedules.items()}
        self._persons = cache(self._find_persons)

    def read(self, grant: Grant) -> Limits:
        """Return the limits of a grant."""
        require = grant.require
        times = None if grant.when is None else self._times[grant.when]
        zone = "UTC" if times is None else times.timezone
        persons = (self._persons(group) for group in require.approvers)
        return Limits(
            ttl_s=grant.ttl_s,
            source=grant.source,
            force_command=grant.force_command,
            permit=frozenset(grant.permit),
            times=times,
            first=grant.first,
            last=grant.last,
            zone="" if grant.first is None and grant.last is None else zone,
            delegates=frozenset(grant.delegates),
            conditions=frozenset(_conditions(grant)),
            key_types=None if require.key_types is None else frozenset(require.key_types),
            max_auth_age_s=require.max_auth_age_s,
            approvals=require.approvals,
            approvers=frozenset[str]().union(*persons),
            approved=grant.name if require.approvals else None,
            break_glass=grant.break_glass,
        )

    def _find_persons(self, group: str) -> frozenset[str]:
        return frozenset(map(self._policy.who_is, self._policy.groups[group].members))


def list_some(names: Collection[str]) -> str:
    """Return the first of some names, in order, and how many more there are."""
    more = len(names) - _MAX_NAMES
    return ", ".join(sorted(names)[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _conditions(grant: Grant) -> Iterator[str]:
    require = grant.require
    flags: Mapping[str, bool] = {
        "a PIN or a fingerprint at each login": require.verify,
        "a touch": require.touch,
        "more than one factor": require.mfa,
        "a reason": require.reason,
    }
    return (words for words, required in flags.items() if required)


def _sources_within(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> bool:
    if other is None:
        return True
    return one is not None and intersect_networks(one, other) == one
