"""Each entry held against the state that the ones before it fold to, and then folded in.

1. Entries that rest on an order have its signatures verified, by the operators of that moment.
2. Intents have their decision replayed on the state before them; outcomes have their CA's signature verified.
3. Revocations and locks come from identities that could make them, or from an entry that causes them; locks
   and leave revoke all that they are on; CA keys serve one purpose, and enter their phases by the rules of
   rotation. Certificates by a credential of counted uses stand directly after a use of it, for one request.
4. The entry is folded into the state, by the same fold that the authority uses. A policy that it applies must
   have come with the holidays that its schedules need.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from appliance.authority.fold.state import State, UnknownEntry
from appliance.evidence.acts import check_act
from appliance.evidence.approvals import check_answered, check_requested
from appliance.evidence.certificates import check_denial, check_intent
from appliance.evidence.cuts import CutChecks
from appliance.evidence.findings import MALFORMED, Code, Findings, Found, say
from appliance.evidence.holidays import check_holidays
from appliance.evidence.hours import OtherTimeZones
from appliance.evidence.keys import PHASE_KINDS, FirstPhases, check_halt, check_opened, check_phase
from appliance.evidence.leave import LeaveChecks
from appliance.evidence.orders import OrderChecks
from appliance.evidence.outcomes import OutcomeChecks, WrongOutcome
from appliance.evidence.registrations import check_registration
from appliance.evidence.repetition import check_repetition
from appliance.evidence.uses import UseChecks
from appliance.policy.document import Policy
from appliance.policy.evaluate import REPLAYABLE
from audit import verifier
from audit.entry import Entry, JsonValue, LeafHash


@dataclass(slots=True)
class Evidence:
    """The checks and the state that they stand on. Memory follows what is live, not what ever was."""

    findings: Findings = field(default_factory=Findings)
    checked: Counter[str] = field(default_factory=Counter)
    _state: State = field(default_factory=State)
    _orders: OrderChecks = field(default_factory=OrderChecks)
    _phases: FirstPhases = field(default_factory=FirstPhases)
    _cuts: CutChecks = field(default_factory=CutChecks)
    _leave: LeaveChecks = field(default_factory=LeaveChecks)
    _uses: UseChecks = field(default_factory=UseChecks)
    _outcomes: OutcomeChecks = field(default_factory=OutcomeChecks)
    _lost: bool = False

    def take(self, entry: verifier.Entry) -> None:
        """Check the next entry and fold it in; after one that cannot be folded nothing can be judged.

        What the structural verifier did not hand on is missing too: it may have changed anything.
        """
        if self._is_lost_at(entry.seq):
            return
        own = Entry(
            seq=entry.seq,
            time_ms=entry.time_ms,
            kind=entry.kind,
            v=entry.v,
            prev=LeafHash(entry.prev),
            data=cast(Mapping[str, JsonValue], entry.data),  # the same type, under the verifier's name
            raw=entry.raw,
            leaf_hash=LeafHash(b""),
        )
        if _is_decided_anew(own):
            self._lose(Code.UNKNOWN_KIND, own.seq, "decided by an evaluator that this version does not know")
            return
        found = self.findings.count
        for check, code in _STEPS:
            self._run(check, code, own)
        if own.kind in _COUNTED and self.findings.count == found:
            self.checked[_COUNTED[own.kind]] += 1
        self._fold(own)
        if own.kind == "policy.applied" and not self._lost:
            self._run(Evidence._check_holidays, Code.BAD_MEANING, own)

    def _run(self, check: Callable[[Evidence, Entry], None], code: Code, entry: Entry) -> None:
        try:
            check(self, entry)
        except MALFORMED as error:
            found = error.code if isinstance(error, Found) else code
            self.findings.add(found, entry.seq, f"{entry.kind}: {say(error)}")

    def conclude(self, size: int) -> None:
        """Name what is left over at the end of a log of so many entries; once lost, nobody knows."""
        if self._is_lost_at(size):
            return
        for run in (self._phases, self._leave, self._uses):
            try:
                run.conclude()
            except Found as error:
                self.findings.add(error.code, self._state.size - 1, str(error))
        for seq in self._outcomes.left():
            self.findings.add(
                Code.OPEN_INTENT, seq, "an intent without an outcome: a signature may exist that is nowhere"
            )
        for seq, message, goes_on in self._cuts.conclude(self._state, self._policy()):
            self.findings.add(Code.OPEN_CUT if goes_on else Code.OMITTED_REVOCATION, seq, message)

    def _fold(self, entry: Entry) -> None:
        try:
            self._state.apply(entry)
        except UnknownEntry as error:
            self._lose(Code.UNKNOWN_KIND, entry.seq, str(error))
        except MALFORMED as error:
            self._lose(Code.BAD_MEANING, entry.seq, f"cannot be, after what is before it: {say(error)}")

    def _is_lost_at(self, seq: int) -> bool:
        """Say whether something before this entry kept the state from being what it must."""
        if not self._lost and seq != self._state.size:
            self._lose(Code.UNKNOWN_KIND, self._state.size, "not understood: nothing from here on is judged")
        return self._lost

    def _lose(self, code: Code, seq: int, message: str) -> None:
        self._lost = True
        self.findings.add(code, seq, message)

    def _check_order(self, entry: Entry) -> None:
        self.checked["order signatures"] += self._orders.check(self._state, entry)

    def _check_holidays(self, entry: Entry) -> None:
        check_holidays(self._policy(), entry)  # by now the policy that the entry applies

    def _check_kind(self, entry: Entry) -> None:
        if (check := _CHECKS.get(entry.kind)) is not None:
            check(self, entry)

    def _check_intent(self, entry: Entry) -> None:
        self._outcomes.begin(self._state, entry)
        check_repetition(self._state, entry)
        try:
            check_intent(self._state, entry)
        except OtherTimeZones:
            self.checked["decisions replayed in all but their hours"] += 1
            raise
        self.checked["replayed decisions"] += 1

    def _check_issued(self, entry: Entry) -> None:
        self._outcomes.issue(self._state, entry)
        self.checked["CA signatures"] += 1

    def _check_denied(self, entry: Entry) -> None:
        replayed = check_denial(self._state, entry)
        self.checked["replayed refusals" if replayed else "refusals not replayed"] += 1

    def _check_revoked(self, entry: Entry) -> None:
        if "serial" in entry.data and self._state.find_certificate(int(str(entry.data["serial"]))) is None:
            raise WrongOutcome("there is no such certificate to revoke")
        by = entry.data["by"]
        if not isinstance(by, int):
            self._check_act(entry, "certificate.revoke")
        elif self._leave.is_cause(by, str(entry.data.get("serial"))):
            self.checked["revocations by leave"] += 1
        else:
            self._cuts.revoke(self._state, self._policy(), entry)
            self.checked["revocations by a lock"] += 1

    def _settle(self, entry: Entry) -> None:
        if entry.kind == "certificate.revoked":
            self._cuts.settle(self._state, entry)

    def _check_lock_placed(self, entry: Entry) -> None:
        self._cuts.place(self._state, self._policy(), entry)
        self._check_act(entry, "lock.place")

    def _policy(self) -> Policy:
        return Policy() if self._state.applied is None else self._state.applied.policy

    def _check_act(self, entry: Entry, act: str) -> None:
        check_act(self._state, entry.data["by"], act)
        self.checked["entitlements"] += 1


def _is_decided_anew(entry: Entry) -> bool:
    """Say whether a newer version decided, by rules that are not at hand."""
    evaluator = entry.data.get("evaluator")
    return isinstance(evaluator, int) and evaluator not in REPLAYABLE


_Check = Callable[[Evidence, Entry], None]
# Each on the state before the entry, and the code of what malformed data make of it.
_STEPS: Final[tuple[tuple[_Check, Code], ...]] = (
    (lambda self, entry: self._cuts.follow(entry), Code.BAD_MEANING),
    (lambda self, entry: self._phases.follow(entry), Code.BAD_MEANING),
    (Evidence._check_order, Code.BAD_ORDER),
    (lambda self, entry: check_registration(self._state, entry), Code.BAD_ORDER),
    (lambda self, entry: self._leave.follow(entry), Code.BAD_MEANING),
    (lambda self, entry: self._leave.check(self._state, entry), Code.BAD_MEANING),
    (lambda self, entry: self._uses.check(self._state, entry), Code.BAD_MEANING),
    (Evidence._check_kind, Code.BAD_MEANING),
    (Evidence._settle, Code.BAD_MEANING),
)
# Of kinds that no check of their own counts: each without a finding.
_COUNTED: Final[Mapping[str, str]] = {
    "certificate.issued": "outcomes",
    "certificate.failed": "outcomes",
    "certificate.abandoned": "outcomes",
    "policy.applied": "policies",
    "host.registered": "registrations",
    "host.removed": "registrations",
    "credential.created": "registrations",
    "credential.used": "counted uses",
    "leave.booked": "entries about leave",
    "leave.withdrawn": "entries about leave",
    "leave.cancelled": "entries about leave",
    "lock.lifted": "lifted locks",
    "approval.given": "approval signatures",
    "approval.refused": "approval signatures",
    "ca.halted": "key phases",
    **dict.fromkeys(PHASE_KINDS, "key phases"),
}
_CHECKS: Final[Mapping[str, _Check]] = {
    "certificate.intent": Evidence._check_intent,
    "certificate.issued": Evidence._check_issued,
    "certificate.failed": lambda self, entry: self._outcomes.fail(entry),
    "certificate.abandoned": lambda self, entry: self._outcomes.fail(entry),
    "certificate.denied": Evidence._check_denied,
    "certificate.revoked": Evidence._check_revoked,
    "credential.revoked": lambda self, entry: self._check_act(entry, "credential.revoke"),
    "lock.placed": Evidence._check_lock_placed,
    "lock.lifted": lambda self, entry: self._cuts.lift(self._state, entry),
    "approval.requested": lambda self, entry: check_requested(self._state, entry),
    "approval.given": lambda self, entry: check_answered(self._state, entry),
    "approval.refused": lambda self, entry: check_answered(self._state, entry),
    **dict.fromkeys(PHASE_KINDS, lambda self, entry: check_phase(self._state, entry)),
    "ca.halted": lambda self, entry: check_halt(self._state, entry),
    "log.opened": lambda _self, entry: check_opened(entry),
}
