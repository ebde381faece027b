"""Cutting off in the writer: what begins it, and the certificates, in as many commands as they take.

The first command records what causes the cut, a lock say, and revokes up to ``MAX_CUT`` certificates in the
same transaction; the next ones go on where it ended, between those of others, until nothing is left. Whoever
asked is answered then. Each of them asks again whether the cut still stands: a lock that was lifted
meanwhile, or a role that a policy took away, ends it. A crash in between leaves a lock in force whose cut
start-up completes, or a revocation that nobody was told is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from appliance.authority.cutting.cutoff import MAX_CUT, Cut, cut_off
from appliance.authority.cutting.locks import find_owed
from appliance.authority.events import Event
from appliance.authority.fold.records import IssuedCertificate
from appliance.authority.fold.state import State
from appliance.authority.writer import At, Command, Decided
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from audit.entry import Entry
from audit.ledger import Ledger

# A reply names so many of the certificates that were live; how many there were it always says.
MAX_NAMED: Final = 100
# Left by a crash, or the lock has come to be on them since: which of the two, nothing says.
AT_START: Final = "under this lock when the authority started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a cut is made: entries that come first, which certificates it is of, and who or what makes it.

    ``check`` refuses once the cut does not stand any more. ``find_spared`` returns certificates of hosts that
    are to be looked at, and are not cut off with the others.
    """

    events: tuple[Event, ...] = ()
    certificates: Callable[[State], Iterable[IssuedCertificate]]
    check: Callable[[State], object]
    find_spared: Callable[[State, int], Sequence[IssuedCertificate]] = lambda _state, _now_s: ()
    reason: str
    by: Identity | int


@dataclass(frozen=True, slots=True, kw_only=True)
class CutDone:
    """What was cut off: the first entry about it, how many were revoked, and which of them were in use.

    ``seq`` is None when there was nothing to record. ``live`` are the first of ``live_count``. ``hosts`` have
    certificates that whoever was cut off has asked for, and that are good still.
    """

    seq: int | None
    cause: Cause
    revoked: int
    live: tuple[IssuedCertificate, ...]
    live_count: int
    hosts: tuple[str, ...] = ()


FindCause = Callable[[State, At], Cause]
Answer = Callable[[CutDone | Refusal], None]


class CutOff:
    """A cut on its way through the writer: the same object is each of its commands."""

    def __init__(
        self, find: FindCause, go_on: Callable[[Command], None], answer: Answer, *, most: int = MAX_CUT
    ) -> None:
        """Prepare; ``find`` says on the state what is to be cut off, ``go_on`` takes the next command.

        ``most`` is how many certificates one command revokes.
        """
        self._most = most
        self._find = find
        self._go_on = go_on
        self._answer = answer
        self._cause: Cause | None = None
        self._seq: int | None = None
        self._revoked = 0
        self._live: list[IssuedCertificate] = []
        self._live_count = 0
        self._hosts: tuple[str, ...] = ()

    def decide(self, state: State, at: At) -> Decided:
        """Record the cause, if this is the first command, and the next revocations."""
        first = self._cause is None
        cause = self._cause = self._cause or self._find(state, at)
        if not first:
            cause.check(state)
        cut = cut_off(
            state,
            cause.certificates(state),
            reason=cause.reason,
            by=cause.by,
            now_s=at.time_s,
            most=self._most,
        )
        self._count(cut, at.time_s)
        if not cut.left:
            spared = cause.find_spared(state, at.time_s)
            self._hosts = tuple(sorted({each.subject.removeprefix("host:") for each in spared}))
        events = [*(cause.events if first else ()), *cut.events]
        return Decided(events=events, after=partial(self._after, cause, cut.left))

    def refuse(self, refusal: Refusal) -> None:
        """Answer that nothing was cut off, or not all."""
        if self._revoked:
            detail = f"{refusal.detail}; {self._revoked} certificates had been revoked by then"
            refusal = Refusal(refusal.slug, detail, **refusal.members)
        self._answer(refusal)

    def _count(self, cut: Cut, now_s: int) -> None:
        self._revoked += len(cut.certificates)
        for each in cut.certificates:
            if each.outcome == "issued" and each.valid_before > now_s and not each.revoked:
                self._live_count += 1
                if len(self._live) < MAX_NAMED:
                    self._live.append(each)

    def _after(self, cause: Cause, left: int, entries: Sequence[Entry]) -> None:
        if self._seq is None and entries:
            self._seq = entries[0].seq
        if left:
            self._go_on(self)
            return
        done = CutDone(
            seq=self._seq,
            cause=cause,
            revoked=self._revoked,
            live=tuple(self._live),
            live_count=self._live_count,
            hosts=self._hosts,
        )
        self._answer(done)


def complete_cuts(ledger: Ledger, state: State, now_ms: int) -> None:
    """Revoke what locks in force are on: at start-up, before anything is asked for.

    It is what a crash has left, and what a policy has put under a lock since that was placed.
    """
    for seq, certificates in find_owed(state).items():
        left = 1
        while left:
            left = _revoke_some(
                ledger, state, seq, [state.certificates[each.seq] for each in certificates], now_ms
            )


def _revoke_some(
    ledger: Ledger, state: State, by: int, certificates: Iterable[IssuedCertificate], now_ms: int
) -> int:
    """Revoke as many as one transaction takes; return how many are left."""
    cut = cut_off(state, certificates, reason=AT_START, by=by, now_s=now_ms // 1000)
    if cut.events:
        with ledger.batch(now_ms) as batch:
            for event in cut.events:
                state.apply(batch.append(event.kind, event.data))
    return cut.left


def render_done(done: CutDone) -> dict[str, Any]:
    """Return what was cut off as plain data for the socket; ``lock`` is the entry of the one that did it."""
    live = [
        {"seq": each.seq, "subject": each.subject, "valid_before": each.valid_before} for each in done.live
    ]
    told: dict[str, Any] = {"revoked": done.revoked, "live": live, "live_count": done.live_count}
    if isinstance(done.cause.by, int):
        told["lock"] = done.cause.by
    if done.hosts:
        told |= {"hosts": list(done.hosts[:MAX_NAMED]), "host_count": len(done.hosts)}
    return told if done.seq is None else told | {"seq": done.seq}
