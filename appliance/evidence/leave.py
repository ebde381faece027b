"""Leave, judged again: who booked it, and whether all that reached into it was revoked with it.

That nothing is issued into a leave is shown by the replay of each decision, on a state that has the leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.authority.cutting.leaving import find_lasting, find_reaching, is_own
from appliance.authority.fold.leaves import Leave, accounts_of, read_leave
from appliance.authority.fold.state import State
from appliance.evidence.acts import check_act, policy_in_force, read_actor
from appliance.evidence.findings import Code, Found
from audit.entry import Entry


class WrongLeave(Found):
    """An entry about leave that contradicts what was on record when it was written."""

    code = Code.WRONG_LEAVE


class NotRevoked(Found):
    """A leave that left certificates valid which reach into it."""

    code = Code.OMITTED_REVOCATION


@dataclass(slots=True)
class LeaveChecks:
    """Holds each booking to its consequences: revocations that follow it and cite it, one for each serial.

    ``cause`` is the last booking, ``due`` what it has to revoke and has not yet, ``reached`` all that it may.
    """

    cause: int | None = None
    due: set[str] = field(default_factory=set)
    reached: frozenset[str] = frozenset()

    def follow(self, entry: Entry) -> None:
        """Note an entry of any kind: the last booking's revocations stand right behind it.

        Raises:
            NotRevoked: they do not.
        """
        if entry.kind == "certificate.revoked" and entry.data["by"] == self.cause:
            self.due.discard(str(entry.data.get("serial")))
        else:
            self.conclude()

    def check(self, state: State, entry: Entry) -> None:
        """Check an entry on the state before it.

        Raises:
            NotEntitled, WrongLeave, and whatever malformed data raise.
        """
        data: Mapping[str, Any] = entry.data
        if entry.kind == "leave.booked":
            self._begin(state, entry, data)
        elif entry.kind == "leave.withdrawn":
            check_act(state, data["by"], "leave.book")
            if _find(state, data["leave"], entry.time_ms // 1000).source is None:
                raise WrongLeave("it came from no feed")
        elif entry.kind == "leave.cancelled":
            _check_cancellation(
                _find(state, data["leave"], entry.time_ms // 1000), data, entry.time_ms // 1000
            )

    def conclude(self) -> None:
        """Check that nothing is left over of the last booking.

        Raises:
            NotRevoked: something is.
        """
        left, self.due = self.due, set()
        if left:
            raise NotRevoked(
                f"the leave of entry {self.cause} left {len(left)} certificates that reach into it, such as "
                f"{min(left)}"
            )

    def is_cause(self, by: int, serial: str) -> bool:
        """Say whether the revocation of a serial may cite this entry."""
        return by == self.cause and serial in self.reached

    def _begin(self, state: State, entry: Entry, data: Mapping[str, Any]) -> None:
        leave, now_s = read_leave(entry.seq, data), entry.time_ms // 1000
        policy = policy_in_force(state)
        self.cause = entry.seq
        self.due = {str(state.serial(each.seq)) for each in find_reaching(state, policy, leave, now_s)}
        # What begins after the leave need not be revoked, and was by earlier releases.
        lasting = find_lasting(state, policy, leave, now_s)
        self.reached = frozenset(str(state.serial(each.seq)) for each in lasting)
        if policy.who_is(leave.person) != leave.person:
            raise WrongLeave(f"{leave.person} is an account of {policy.who_is(leave.person)}")
        if leave.identities != tuple(sorted(accounts_of(policy, leave.person))):
            raise WrongLeave("it names other accounts than the person had")
        if not max(leave.starts_s, now_s) < leave.ends_s:
            raise WrongLeave("it ends before it begins, or was over when it was booked")
        booker = read_actor(state, data["by"])
        if not is_own(policy, booker, leave):
            check_act(state, data["by"], "leave.book")


def _find(state: State, seq: int, now_s: int) -> Leave:
    leave = state.leaves.get(seq)
    if leave is None or leave.ends_s <= now_s:
        raise WrongLeave(f"there was no leave {seq}, or it was over")
    return leave


def _check_cancellation(leave: Leave, data: Mapping[str, Any], now_s: int) -> None:
    if "ends_s" in data and not max(leave.starts_s, now_s) < data["ends_s"] < leave.ends_s:
        raise WrongLeave("it does not end sooner, or had to end before it was cancelled")
