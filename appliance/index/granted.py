"""Who could obtain what at a moment: a line of the policy, and what was in the way of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from appliance.index.reach import Line, Reachable
from appliance.index.scene import Place, Scene
from appliance.policy.circumstances import Away
from appliance.policy.document import Policy
from appliance.policy.locks import Locks, Target
from appliance.policy.opening import Hours, Shut
from appliance.policy.tables import Grant
from appliance.policy.terms import When, find_next, open_grant


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedAccess:
    """One principal that a grant gives to one holder, for at most ``ttl_s``.

    ``is_open``: neither the grant's hours nor leave were in the way at the moment; ``opens_s`` is when
    neither was, next, None if that is never.

    ``policy`` is the entry that put the grant in force, ``ca_phase`` that of the key which would sign:
    ``signing``, or ``halted`` or ``none``, and nobody obtains anything; no more than while ``locked``, the
    entry of a lock on the holder, on the group that he is in, or on the CA; or during ``leave``, the entry of
    the holder's.
    """

    place: Place
    ca: str
    ca_phase: str
    policy: int
    ttl_s: int
    locked: int | None
    leave: int | None
    reachable: Reachable
    hours: Hours
    is_open: bool
    opens_s: int | None


def find_granted(
    scene: Scene, policy_seq: int, lines: Iterable[Reachable]
) -> Iterator[tuple[Line, GrantedAccess]]:
    """Yield the lines of grants that are not over for good, each with its place."""
    policy, snapshot = scene.policy, scene.snapshot
    locks, leaves = snapshot.locks(scene.prefix.upto), snapshot.leaves(scene.prefix)
    max_ttl_s, at_s = snapshot.max_ttl_s(), scene.prefix.at_s
    openings = _Openings(policy, When(start_s=at_s, latest_s=at_s, max_ttl_s=max_ttl_s))
    for reachable in lines:
        holder, grant = reachable.holder, reachable.filed.grant
        is_group = holder.kind == "group"
        away = () if is_group else leaves.of(policy, holder.subject)
        if openings.find(reachable, ()).is_never:
            continue
        opens = openings.find(reachable, away)
        leave = leaves.find(policy, holder.subject, at_s) if away else None
        ca = policy.customers[reachable.group.customer].user_ca
        granted = GrantedAccess(
            place=scene.place((reachable.group,)),
            ca=ca,
            ca_phase=scene.signing_phase(ca, reachable.group.customer),
            policy=policy_seq,
            ttl_s=min(grant.ttl_s, max_ttl_s),
            locked=_find_lock(locks, policy, reachable, ca),
            leave=None if leave is None else leave.seq,
            reachable=reachable,
            hours=policy.hours(grant),
            is_open=opens.is_open,
            opens_s=opens.opens_s,
        )
        yield reachable.line, granted


class _Opens(NamedTuple):
    is_open: bool
    opens_s: int | None

    @property
    def is_never(self) -> bool:
        return not self.is_open and self.opens_s is None


class _Openings:
    """When grants open: found once for each grant and leave, since a grant can have a million lines."""

    def __init__(self, policy: Policy, when: When) -> None:
        self._policy = policy
        self._when = when
        self._found: dict[tuple[int, tuple[Away, ...]], _Opens] = {}

    def find(self, reachable: Reachable, leaves: tuple[Away, ...]) -> _Opens:
        """Return whether the line's grant is open at the moment, and if not, when next."""
        key = (reachable.line[0], leaves)
        if key not in self._found:
            self._found[key] = self._find(reachable.filed.grant, leaves)
        return self._found[key]

    def _find(self, grant: Grant, leaves: tuple[Away, ...]) -> _Opens:
        hours = self._policy.hours(grant)
        opening = open_grant(grant, hours, leaves, self._when)
        if not isinstance(opening, Shut):
            return _Opens(is_open=True, opens_s=None)
        return _Opens(is_open=False, opens_s=find_next(grant, hours, leaves, self._when, opening))


def _find_lock(locks: Locks, policy: Policy, reachable: Reachable, ca: str) -> int | None:
    """Return the lock that keeps a line from being of any use."""
    if not locks.in_force:
        return None
    holder = reachable.holder
    of_holder = (
        (Target("group", holder.subject),)
        if holder.kind == "group"
        else locks.targets_of(policy, holder.subject, ())
    )
    lock = locks.find((*of_holder, Target("ca", ca)))
    return None if lock is None else lock.seq
