"""How many certificates one identity may ask for. The web tier is not trusted with this.

It comes before everything else that a request costs: what it refuses is decided by nobody and on nobody's
record. The configuration has a limit for everyone, the policy can have others for some; all of them hold.

A process that begins anew knows what was asked for by the certificates that came of it, and nothing of the
rest: refusals, requests sent again, orders, explanations, leave and approvals.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from appliance.authority.fold.records import AppliedPolicy, IssuedCertificate
from appliance.buckets import Rate
from appliance.errors import Refusal
from appliance.identity.identity import Identity, Kind
from appliance.limiter import Limiter
from appliance.policy.holders import Holders, index_holders
from appliance.policy.tables import Limit

_MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """A limit and what was asked for under it; ``name`` is the policy's, None the configuration's."""

    name: str | None
    rate: Rate
    limiter: Limiter

    @property
    def words(self) -> str:
        """Say what it allows."""
        if self.name is None:
            return f"{self.rate.per_s:g} certificates a second, and for {self.rate.burst} at once"
        per_minute = round(self.rate.per_s * _MINUTE_S)
        return f"{per_minute} certificates a minute, and for {self.rate.burst} at once (limit {self.name!r})"


@dataclass(slots=True)
class _PolicyBounds:
    """The limits of the policy that was applied by entry ``seq``, and whom each of them covers."""

    seq: int = -1
    bounds: list[_Bound] = field(default_factory=list)
    holders: Holders = field(default_factory=Holders)

    def follow(self, applied: AppliedPolicy) -> None:
        """Take another policy's limits; what was asked for under one that stays as it is still counts."""
        known = {(each.name, each.rate): each for each in self.bounds}
        limits = applied.policy.limits
        self.bounds = [
            known.get((limit.name, rate)) or _Bound(name=limit.name, rate=rate, limiter=Limiter(rate))
            for limit, rate in ((limit, _rate_of(limit)) for limit in limits)
        ]
        self.holders = index_holders(((each.name, each.who, ()) for each in limits), applied.policy.groups)
        self.seq = applied.seq

    def covering(self, identity: Identity) -> list[_Bound]:
        """Return those that cover an identity."""
        return [self.bounds[place] for place in self.holders.held_by(identity)]

    def covering_name(self, name: str, groups: Iterable[str]) -> list[_Bound]:
        """Return those that cover an identity of which it is not on record whether it is a service's."""
        provider, _, subject = name.partition(":")
        kinds: tuple[Kind, ...] = ("user", "service")
        found = {
            place: self.bounds[place]
            for kind in kinds
            for place in self.holders.held_by(
                Identity(
                    provider=provider,
                    subject=subject,
                    kind=kind,
                    groups=frozenset(groups),
                    authenticated_ms=0,
                )
            )
        }
        return list(found.values())


class Rates:
    """A bucket for each identity under each limit that covers it. Thread-safe.

    ``rate`` None is no limit for everyone; ``clock_s`` is monotonic; ``applied`` gives the policy in force.
    """

    def __init__(
        self,
        rate: Rate | None,
        *,
        clock_s: Callable[[], float],
        applied: Callable[[], AppliedPolicy | None] = lambda: None,
    ) -> None:
        self._everyone = [] if rate is None else [_Bound(name=None, rate=rate, limiter=Limiter(rate))]
        self._clock_s = clock_s
        self._applied = applied
        self._of_policy = _PolicyBounds()
        self._lock = threading.Lock()

    def charge(self, identity: Identity, count: int = 1) -> None:
        """Count ``count`` certificates that somebody asks for; all of them under every limit, or none.

        Raises:
            Refusal: ``rate-limited``, with the time after which to try again; ``policy-denied``, if a limit
                never lets so many in at once.
        """
        caller = str(identity)
        with self._lock:
            self._follow()
            bounds = [*self._everyone, *self._of_policy.covering(identity)]
            now_s = self._clock_s()
            for bound in bounds:
                _check(bound, caller, now_s, count)
            for bound in bounds:
                bound.limiter.take(caller, now_s, count)

    def recall(self, certificates: Iterable[IssuedCertificate], now_ms: int) -> None:
        """Count what was asked for before this process began, as far as certificates, by their seq, tell.

        Of a requester's groups it is those that a certificate rests on.
        """
        with self._lock:
            self._follow()
            now_s, known = self._clock_s(), dict[tuple[str, tuple[str, ...]], list[_Bound]]()
            for each in _first_of_requests(certificates):
                groups = each.groups if each.delegate is None else ()
                who = (each.requester, groups)
                if who not in known:
                    known[who] = [*self._everyone, *self._of_policy.covering_name(*who)]
                age_s = max(0, now_ms - each.asked_ms) / 1000
                for bound in known[who]:
                    if age_s < bound.rate.filling_s:
                        bound.limiter.take(each.requester, now_s - age_s)

    def _follow(self) -> None:
        applied = self._applied()
        if applied is not None and applied.seq != self._of_policy.seq:
            self._of_policy.follow(applied)


def _first_of_requests(certificates: Iterable[IssuedCertificate]) -> Iterator[IssuedCertificate]:
    """Yield one certificate of each request: those of one follow each other, for one key at one moment."""
    before: tuple[object, ...] = ()
    for each in certificates:
        if (each.seq - 1, each.asked_ms, each.requester, each.subject_key) != before:
            yield each
        before = (each.seq, each.asked_ms, each.requester, each.subject_key)


def _check(bound: _Bound, caller: str, now_s: float, count: int) -> None:
    if count > bound.rate.burst:
        raise Refusal(
            "policy-denied",
            f"{caller} asks for {count} certificates at once, and may ask for {bound.words}: ask in parts",
            rule="limit" if bound.name is None else f"limit {bound.name}",
        )
    wait_s = bound.limiter.look(caller, now_s, count)
    if wait_s > 0:
        raise Refusal(
            "rate-limited",
            f"{caller} may ask for {bound.words}; nothing was recorded",
            retry_after_s=math.ceil(wait_s),
        )


def _rate_of(limit: Limit) -> Rate:
    return Rate(per_s=limit.per_minute / _MINUTE_S, burst=limit.burst or limit.per_minute)
