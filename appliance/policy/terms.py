"""What one grant gives to one request: the terms, or every obstacle that is in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, NotRequired, TypedDict

from appliance.networks import intersect_networks
from appliance.policy.asking import Asking
from appliance.policy.circumstances import Away
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.opening import Hours, Opening, Shut, find_opening, look
from appliance.policy.requirements import NOTHING_REQUIRED, Obstacle, find_approval, find_unmet, unapproved
from appliance.policy.tables import Grant
from appliance.policy.values import PERMITS
from appliance.policy.zones import format_moment

# Hosts whose clocks are behind by less than this still take a certificate that was just made.
BACKDATE_S: Final = 60
# A certificate that ends sooner is of no use to anyone who did not ask for just that.
LEAST_S: Final = 60
MAX_AHEAD_S: Final = 24 * 3_600


class BoundsData(TypedDict):
    """Bounds as the ledger records them (docs/formats/entries.md)."""

    opens_s: NotRequired[int]
    closes_s: NotRequired[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The grant's own bounds around a certificate, in Unix seconds; ``scheduled``: by a time zone's rules."""

    opens_s: int | None
    closes_s: int | None
    scheduled: bool

    def to_data(self) -> BoundsData:
        """Return the bounds as the ledger records them."""
        data = BoundsData()
        if self.opens_s is not None:
            data["opens_s"] = self.opens_s
        if self.closes_s is not None:
            data["closes_s"] = self.closes_s
        return data

    def sort_key(self) -> tuple[int, ...]:
        """Return the bounds as numbers that differ where bounds do."""
        return (self.scheduled, *(-1 if each is None else each for each in (self.opens_s, self.closes_s)))


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When a certificate is to begin, at the earliest and at the latest, and how long it may last at most."""

    start_s: int
    latest_s: int
    ttl_s: int | None = None
    max_ttl_s: int

    def lasts(self, grant: Grant) -> tuple[int, int]:
        """Return how long a certificate of a grant lasts, and how short it may become."""
        ttl_s = min(grant.ttl_s, self.ttl_s or grant.ttl_s, self.max_ttl_s)
        shorter = self.ttl_s is not None and self.ttl_s < LEAST_S
        return ttl_s, 1 if shorter else min(LEAST_S, ttl_s)


class Terms(NamedTuple):
    """What a grant gives, as far as the request narrows it."""

    filed: FiledGrant
    valid_after: int
    valid_before: int
    source: tuple[str, ...] | None
    extensions: tuple[str, ...]
    bounds: Bounds | None


class Settling:
    """The terms of one request with one grant after another.

    Grants of the same hours and the same ttl open alike: what was found for one is kept for the next.
    """

    def __init__(self, policy: Policy, asking: Asking) -> None:
        self._policy = policy
        self._asking = asking
        start_s, asked_s = asking.start_s, asking.request.start_s
        self._when = When(
            start_s=start_s,
            latest_s=start_s if asked_s is None else asking.now_s + MAX_AHEAD_S,
            ttl_s=asking.request.ttl_s,
            max_ttl_s=asking.max_ttl_s,
        )
        request, delegate = asking.request, asking.circumstances.delegate
        # Then only what a grant requires can be in the way, and most require nothing.
        self._is_plain = delegate is None and not request.permit and request.source is None
        self._openings: dict[object, Opening | Shut] = {}
        self._next: dict[object, int | None] = {}

    def open(self, filed: FiledGrant) -> Opening | None:
        """Return the opening in which a grant gives what it gives; None if anything is in the way."""
        grant = filed.grant
        plain = self._is_plain and grant.require is NOTHING_REQUIRED
        if not plain and next(self._find_unmet(grant), None) is not None:
            return None
        opening = self._open(grant)
        return None if isinstance(opening, Shut) else opening

    def is_shut(self, filed: FiledGrant) -> bool:
        """Say whether hours or leave keep a grant from giving anything, whatever is asked for."""
        opening = self._open(filed.grant)
        return isinstance(opening, Shut) and opening.by != "approvals"

    def settle(self, filed: FiledGrant, opening: Opening) -> Terms:
        """Return the terms of a grant that is open."""
        grant, request = filed.grant, self._asking.request
        permit = grant.permit if request.permit is None else request.permit
        return Terms(
            filed=filed,
            valid_after=max(opening.at_s - BACKDATE_S, opening.not_before_s),
            valid_before=opening.not_after_s,
            source=_intersect(grant.source, request.source),
            extensions=tuple(sorted([PERMITS[name] for name in permit])) if permit else (),
            bounds=_bounds(grant, opening),
        )

    def find_obstacles(self, filed: FiledGrant) -> tuple[Obstacle, ...]:
        """Return all that is in the way: nothing exactly where :meth:`open` finds an opening."""
        grant = filed.grant
        unmet, opening = tuple(self._find_unmet(grant)), self._open(grant)
        if not isinstance(opening, Shut):
            return unmet
        return (*unmet, say_shut(grant, self._policy.hours(grant), opening, self._find_next(grant, opening)))

    def _find_next(self, grant: Grant, shut: Shut) -> int | None:
        key = (grant.when, grant.first, grant.last, grant.ttl_s, shut)
        if key not in self._next:
            hours, leaves = self._policy.hours(grant), self._asking.circumstances.leaves
            self._next[key] = find_next(grant, hours, leaves, self._when, shut)
        return self._next[key]

    def _open(self, grant: Grant) -> Opening | Shut:
        approved_s = self._approved(grant) if grant.require.approvals else None
        key = (grant.when, grant.first, grant.last, grant.ttl_s, approved_s)
        found = self._openings.get(key)
        if found is None:
            leaves = self._asking.circumstances.leaves
            found = open_grant(grant, self._policy.hours(grant), leaves, self._when, approved_s)
            self._openings[key] = found
        return found

    def _approved(self, grant: Grant) -> int | None:
        """Return until when a grant that asks for approvals is approved; None if it is not."""
        asking = self._asking
        approval = find_approval(
            self._policy, grant, str(asking.identity), asking.circumstances.approvals, asking.now_s
        )
        return None if approval is None else approval.ends_s

    def _find_unmet(self, grant: Grant) -> Iterator[Obstacle]:
        """Yield what is in the way whatever the hours: delegates, requirements, more than the grant gives."""
        delegate, request = self._asking.circumstances.delegate, self._asking.request
        if delegate is not None and str(delegate) not in grant.delegates:
            detail = f"grant {grant.name!r} does not let {delegate} ask on behalf of others"
            yield Obstacle(rule="delegates", detail=detail)
        if request.permit and (too_much := [name for name in request.permit if name not in grant.permit]):
            permitted = ", ".join(grant.permit) or "nothing"
            detail = f"grant {grant.name!r} does not permit {', '.join(too_much)}: it permits {permitted}"
            yield Obstacle(rule="narrowing", detail=detail)
        if request.source is not None and _intersect(grant.source, request.source) == ():
            detail = f"grant {grant.name!r} allows only the sources {', '.join(grant.source or ())}"
            yield Obstacle(rule="narrowing", detail=detail)
        if grant.require is not NOTHING_REQUIRED:
            yield from find_unmet(grant, self._asking)
            if grant.require.approvals and self._approved(grant) is None:
                yield unapproved(grant)


def _bounds(grant: Grant, opening: Opening) -> Bounds | None:
    if opening.opens_s is None and opening.closes_s is None and grant.when is None:
        return None
    return Bounds(opens_s=opening.opens_s, closes_s=opening.closes_s, scheduled=grant.when is not None)


def open_grant(
    grant: Grant, hours: Hours, leaves: Sequence[Away], when: When, approved_s: int | None = None
) -> Opening | Shut:
    """Return the opening that a certificate can have, or what keeps the grant shut.

    ``approved_s`` is where the approval ends that the grant requires. When a grant that is shut opens is not
    looked for before somebody wants to know: :func:`find_next` says it.
    """
    ttl_s, least_s = when.lasts(grant)
    found = look(hours, leaves, when.start_s, when.start_s + ttl_s, least_s)
    if isinstance(found, Shut):
        if when.latest_s == when.start_s or found.next_s is None:
            return found
        later = find_opening(hours, leaves, found.next_s, lasts_s=ttl_s, least_s=least_s)
        if later is None or later.at_s > when.latest_s:
            return found
        found = later
    if approved_s is None or found.not_after_s <= approved_s:
        return found
    if approved_s - found.at_s < least_s:
        return Shut(by="approvals", next_s=None)
    return replace(found, not_after_s=approved_s)


def find_next(grant: Grant, hours: Hours, leaves: Sequence[Away], when: When, shut: Shut) -> int | None:
    """Return the moment at which a grant that is shut opens, in about a year at most; None if it does not."""
    if shut.next_s is None:
        return None
    ttl_s, least_s = when.lasts(grant)
    later = find_opening(hours, leaves, shut.next_s, lasts_s=ttl_s, least_s=least_s)
    return None if later is None else later.at_s


def say_shut(grant: Grant, hours: Hours, shut: Shut, next_s: int | None) -> Obstacle:
    """Say in words what keeps a grant shut, and when it opens."""
    if shut.by == "approvals":
        return unapproved(grant)
    words = {
        "dates": f"is for the days{_days(grant)}",
        "leave": "gives nothing during leave",
        "schedule": f"is shut by the schedule {grant.when!r}{_windows(hours)}",
        "time-left": f"has less than {LEAST_S} s left",
    }
    opens = "opens" if shut.by == "dates" else "opens again"
    when = "it does not open again"
    if next_s is not None:
        when = f"{opens} at {format_moment(next_s, hours.zone)}"
    detail = f"grant {grant.name!r} {words[shut.by]}; {when}"
    return Obstacle(rule=shut.by, detail=detail, next_s=next_s)


def _days(grant: Grant) -> str:
    ends = (("from", grant.first), ("until", grant.last))
    return "".join(f" {word} {day}" for word, day in ends if day is not None)


def _windows(hours: Hours) -> str:
    return "" if hours.timetable is None else f" ({hours.timetable})"


def _intersect(granted: tuple[str, ...] | None, asked: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Intersect two source sets where none means anywhere; an empty result is nowhere."""
    if granted is None or asked is None:
        return asked if granted is None else granted
    return intersect_networks(granted, asked)
