"""Cuts, checked: who made them, what they cover, and that none of it was left out.

That nothing was issued under a lock shows when decisions are replayed. Here each lock is held to its promise:
right after it, one entry for each certificate that it was on and that could still be used. What one command
of the authority does not take may come later, but it has to come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.authority.cutting.cutoff import MAX_CUT, find_live
from appliance.authority.cutting.locks import covers, find_covered
from appliance.authority.fold.records import IssuedCertificate
from appliance.authority.fold.state import State
from appliance.evidence.findings import Code, Found
from appliance.policy.document import Policy
from appliance.policy.locks import Lock, Target
from audit.entry import Entry

# Between two commands of one cut; where it takes longer, whoever makes it has given up.
_PATIENCE_MS: Final = 600_000


class WrongCut(Found):
    """A lock or a revocation that is on nothing, or not on what it says."""

    code = Code.WRONG_CUT


class Omitted(Found):
    """Certificates that a lock is on and that were not revoked with it."""

    code = Code.OMITTED_REVOCATION


@dataclass(slots=True)
class _Cut:
    """A cut that goes on: what it still owes, and what it may leave to later commands."""

    lock: int
    owed: dict[int, IssuedCertificate]
    later: int
    last_ms: int


@dataclass(slots=True)
class CutChecks:
    """Follows the locks of a log. Memory is that of what is owed."""

    _running: _Cut | None = None
    _open: dict[int, _Cut] = field(default_factory=dict)

    def follow(self, entry: Entry) -> None:
        """Note an entry of any kind: the first command's revocations stand right behind their lock.

        Raises:
            Omitted: they do not.
        """
        data: Mapping[str, Any] = entry.data
        if entry.kind == "node.started":  # which completes what a crash has left
            for each in self._open.values():
                each.last_ms = entry.time_ms
        cut = self._running
        if cut is None or (entry.kind == "certificate.revoked" and data.get("by") == cut.lock):
            return
        self._running = None
        if len(cut.owed) > cut.later:
            del self._open[cut.lock]
            raise Omitted(
                f"{_count(len(cut.owed) - cut.later)} of the lock {cut.lock} were not revoked with it"
            )

    def place(self, state: State, policy: Policy, entry: Entry) -> None:
        """Check a lock on the state before it, and note what it has to revoke.

        Raises:
            WrongCut: it stands already, or names other accounts than its person had.
        """
        data: Mapping[str, Any] = entry.data
        target = Target(data["kind"], data["name"])
        lock = Lock(seq=entry.seq, target=target, accounts=tuple(data.get("accounts", ())))
        if state.locks.find_on(target) is not None:
            raise WrongCut(f"the {target.kind} {target.name} was locked already")
        person = policy.persons.get(target.name) if target.kind == "person" else None
        if lock.accounts != tuple(sorted(() if person is None else person.identities)):
            raise WrongCut("names other accounts than the policy in force")
        live = find_live(find_covered(state, policy, lock), entry.time_ms // 1000)
        cut = _Cut(
            lock=entry.seq,
            owed={each.seq: each for each in live},
            later=max(0, len(live) - MAX_CUT),
            last_ms=entry.time_ms,
        )
        self._running = cut
        if cut.owed:
            self._open[cut.lock] = cut

    def revoke(self, state: State, policy: Policy, entry: Entry) -> None:
        """Check a revocation that a lock caused: it is in force, and on that certificate.

        What a cut that goes on owes is right, though the lock was lifted or the policy changed meanwhile.

        Raises:
            WrongCut: it is not.
        """
        data: Mapping[str, Any] = entry.data
        lock, cut = state.locks.in_force.get(data["by"]), self._open.get(data["by"])
        known = state.find_certificate(int(data.get("serial", 0)))
        if known is not None and cut is not None and known.seq in cut.owed:
            return
        if lock is None or known is None or not covers(state, policy, lock, known):
            raise WrongCut(f"entry {data['by']} is neither a lock nor a leave that is on what is revoked")

    def lift(self, state: State, entry: Entry) -> None:
        """Check that a lock which is lifted was in force, and that its cut had not been given up.

        Raises:
            WrongCut, Omitted.
        """
        data: Mapping[str, Any] = entry.data
        if data["lock"] not in state.locks.in_force:
            raise WrongCut(f"entry {data['lock']} is no lock in force")
        cut = self._open.get(data["lock"])
        if cut is not None and entry.time_ms - cut.last_ms >= _PATIENCE_MS:
            raise Omitted(f"{_count(len(cut.owed))} that the lock was on had not been revoked")

    def settle(self, state: State, entry: Entry) -> None:
        """Take off what a revocation settles, whoever made it."""
        known = state.find_certificate(int(str(entry.data.get("serial", 0))))
        if known is None:
            return
        for cut in list(self._open.values()):
            cut.owed.pop(known.seq, None)
            if entry.data["by"] == cut.lock:
                cut.last_ms = entry.time_ms
            if not cut.owed:
                del self._open[cut.lock]

    def conclude(self, state: State, policy: Policy) -> Iterator[tuple[int, str, bool]]:
        """Yield what is owed at the end of the log: the lock, in words, and whether it may yet come.

        A lock that was lifted, or is not on a certificate any more, owes nothing, and none owes what no host
        would have taken any more when the cut had to be done.
        """
        for cut in self._open.values():
            lock = state.locks.in_force.get(cut.lock)
            known = [state.certificates.get(seq, each) for seq, each in cut.owed.items()]
            owed = [
                each
                for each in find_live(known, (cut.last_ms + _PATIENCE_MS) // 1000)
                if lock is not None and covers(state, policy, lock, each)
            ]
            if owed:
                goes_on = state.head_ms - cut.last_ms < _PATIENCE_MS
                yield cut.lock, f"{_count(len(owed))} that the lock is on were not revoked", goes_on


def _count(number: int) -> str:
    return f"{number} certificate{'s' if number > 1 else ''}"
