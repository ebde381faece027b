"""The issuance cycle, from a request in the authority to the certificate that leaves it.

4. Decide, on the state as the entry before leaves it, at the entry's own moment; a denial is recorded too.
5. Build the to-be-signed bytes, and make the ``certificate.intent`` that holds them durable.
6. Have the token sign those bytes, and nothing else.
7. Verify the signature with the CA's public key (:mod:`hsm` does, before it returns one).
8. Make the outcome durable: ``certificate.issued``, or ``certificate.failed`` if it was revoked meanwhile or
   the token did not sign, or ``certificate.abandoned`` if the token has not answered. The certificates of one
   request are issued all or not at all.
9. Only then answer. Nobody's hanging up changes what is done from 5 on.

The one reason for the order: whatever a CA key signs was on record before the key could sign it.
(Steps 1 to 3, credential, body and hand-over, are the web tier's.)
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from appliance.authority.events import (
    CaHalted,
    CertificateIntent,
    CertificateIssued,
    CertificateUnfulfilled,
    CredentialUsed,
    Event,
    GrantReference,
    IdempotencyData,
)
from appliance.authority.fold.records import AppliedPolicy, Credential, RetryName
from appliance.authority.fold.state import State
from appliance.authority.issuing.denials import Denials
from appliance.authority.issuing.plan import Planned, cite_approvals, evaluate, plan_certificate
from appliance.authority.issuing.releases import IssuedReply, Release
from appliance.authority.issuing.replay import Repetition
from appliance.authority.signing import NO_TURN, Signed, SigningJob, Unsigned
from appliance.authority.writer import At, Command, Decided
from appliance.errors import Refusal, malformed
from appliance.identity.api import CLAIM
from appliance.identity.identity import Identity
from appliance.policy.evaluate import (
    EVALUATOR,
    Denial,
    relied_groups,
)
from appliance.policy.zones import TZDATA, format_moment
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.certificate import Certificate, format_certificate_line
from appliance.ssh.content import NONCE_SIZE
from audit.entry import Entry

REVOKED_BEFORE_RELEASE: Final = "revoked before release"
# A caller's clock may be behind by so much.
SLACK_S: Final = 60
NEIGHBOUR_FAILED: Final = "another certificate of the request failed"


Reply = Callable[[Release | Refusal], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """What the commands of the cycle share: the ways out, randomness, and who waits for what is under way.

    ``waiting`` is the writer's thread's alone.
    """

    sign: Callable[[SigningJob], None]
    submit_owed: Callable[[Command], None]
    replay: Callable[[Repetition], None]
    denials: Denials
    draw: Callable[[int], bytes]
    waiting: dict[RetryName, list[Reply]] = field(default_factory=dict)


class IssueCertificates:
    """Steps 4 to 6 for one request: decide, record intents, hand them to the token."""

    def __init__(
        self,
        cycle: Cycle,
        identity: Identity,
        request: UserRequest | HostRequest,
        reply: Reply,
        *,
        idempotency: IdempotencyData | None = None,
        turn: str | None = None,
        on_behalf_of: Identity | None = None,
    ) -> None:
        """Prepare; ``turn`` is in whose name the token is asked, if not in the caller's.

        ``on_behalf_of`` is whom the certificates are for, if the caller asks as somebody's delegate.
        """
        self._cycle = cycle
        self._identity = identity
        self._person = on_behalf_of or identity
        self._delegate = None if on_behalf_of is None else identity
        self._request = request
        self._reply = reply
        self._idempotency = idempotency
        self._turn = turn or str(identity)

    def refuse(self, refusal: Refusal) -> None:
        """Answer that nothing was recorded."""
        self._reply(refusal)

    def decide(self, state: State, at: At) -> Decided:
        """Decide the request; see the module's steps 4 and 5."""
        applied = state.in_force()
        if (repeated := self._repeat(state, at)) is not None:
            return repeated
        used = _use_credential(state, self._identity, at)
        _check_start(self._request, at.time_s)
        outcome = evaluate(
            state, applied, self._person, self._request, now_s=at.time_s, delegate=self._delegate
        )
        if isinstance(outcome, Denial):
            return self._deny(outcome, at)
        # Each intent names all groups that the request rests on, so that a replay decides on the same.
        grants = [filed for profile in outcome for filed in profile.grants]
        groups = relied_groups(grants, self._person)
        planned = [
            plan_certificate(
                state,
                self._person,
                self._request,
                profile,
                seq=seq,
                nonce=self._cycle.draw(NONCE_SIZE),
            )
            for seq, profile in enumerate(outcome, at.seq + len(used))
        ]
        intents = [
            Event(kind="certificate.intent", data=self._intend(state, applied, plan, groups, at.time_s))
            for plan in planned
        ]
        return Decided(events=[*used, *intents], after=partial(self._sign, planned, len(used)))

    def _repeat(self, state: State, at: At) -> Decided | None:
        """Answer a request that was sent before under its key, if it was; what failed is tried anew.

        What was revoked since is not given again, for nobody may have had it yet: it is decided anew too.
        """
        if self._idempotency is None:
            return None
        name = (str(self._identity), self._idempotency["key"])
        known = state.retryable.get(name)
        if known is None:
            return None
        if known.request != self._idempotency["request"]:
            raise Refusal("conflict", "this Idempotency-Key came with another request before: use a new one")
        certificates = [state.certificates[seq] for seq in known.intents]
        outcomes = {certificate.outcome for certificate in certificates}
        if not outcomes <= {None, "issued"}:
            return None
        if None not in outcomes and any(certificate.revoked for certificate in certificates):
            return None
        _check_credential(state, self._identity, at)
        if None in outcomes:
            self._cycle.waiting.setdefault(name, []).append(self._reply)
            return Decided(after=lambda _entries: None)
        intents = [(certificate.seq, certificate.outcome_seq) for certificate in certificates]
        return Decided(after=lambda _entries: self._cycle.replay(Repetition(intents, self._reply)))

    def _deny(self, denial: Denial, at: At) -> Decided:
        event = self._cycle.denials.count(
            self._identity,
            self._request.to_data(),
            denial.rule,
            now_ms=at.time_ms,
            on_behalf_of=None if self._delegate is None else self._person,
        )
        members: dict[str, object] = {"rule": denial.rule, "allowed": list(denial.allowed)}
        if denial.next_s is not None:
            members["opens"] = format_moment(denial.next_s)
        refusal = Refusal("policy-denied", denial.detail, **members)
        return Decided(events=[] if event is None else [event], after=lambda _entries: self._reply(refusal))

    def _intend(
        self, state: State, applied: AppliedPolicy, plan: Planned, groups: Sequence[str], now_s: int
    ) -> CertificateIntent:
        person = self._person.to_data()
        person["groups"] = list(groups)
        intent = CertificateIntent(
            ca=plan.profile.ca,
            ca_key=plan.ca_key.fingerprint,
            identity=person
            if self._delegate is None
            else replace(self._delegate, groups=frozenset()).to_data(),
            request=self._request.to_data(),
            policy=applied.seq,
            evaluator=EVALUATOR,
            tbs=base64.b64encode(plan.tbs).decode(),
        )
        if (bounds := plan.profile.bounds) is not None:
            intent["window"] = bounds.to_data()
            if bounds.scheduled:
                intent["tzdata"] = TZDATA
        if cited := cite_approvals(state, applied, self._person, plan.profile, now_s=now_s):
            intent["approvals"] = cited
        if self._delegate is not None:
            intent["on_behalf_of"] = person
        if self._idempotency is not None:
            intent["idempotency"] = self._idempotency
        if isinstance(self._request, HostRequest):
            intent["host"] = state.hosts[self._request.host].seq
        else:
            intent["grants"] = [
                GrantReference(file=filed.file, name=filed.grant.name) for filed in plan.profile.grants
            ]
        return intent

    def _sign(self, planned: Sequence[Planned], before: int, entries: Sequence[Entry]) -> None:
        """Step 6. The intents are durable; from here on every one of them gets an outcome."""
        intents = list(zip(planned, entries[before:], strict=True))
        Attempt(self._cycle, self._turn, intents, self._answer).start()

    def _answer(self, outcome: Release | Refusal) -> None:
        """Answer the caller, and whoever sent the same again meanwhile; on the writer's thread."""
        self._reply(outcome)
        if self._idempotency is not None:
            name = (str(self._identity), self._idempotency["key"])
            for reply in self._cycle.waiting.pop(name, ()):
                reply(outcome)


class Attempt:
    """Steps 7 to 9 for the intents of one request: wait for every signature, record, answer."""

    def __init__(
        self, cycle: Cycle, turn: str, intents: Sequence[tuple[Planned, Entry]], reply: Reply
    ) -> None:
        self._cycle = cycle
        self._turn = turn
        self._intents = intents
        self._reply = reply
        self._answers: list[Signed | Unsigned | None] = [None] * len(intents)
        self._missing = len(intents)
        self._lock = threading.Lock()

    def start(self) -> None:
        """Hand every intent's bytes to the token."""
        for position, (planned, _) in enumerate(self._intents):
            self._cycle.sign(
                SigningJob(
                    tbs=planned.tbs,
                    ca_key=planned.ca_key.fingerprint,
                    caller=self._turn,
                    done=partial(self._collect, position),
                )
            )

    def _collect(self, position: int, answer: Signed | Unsigned) -> None:
        """Keep an answer; runs on a thread of the pool. The last one sends the outcome to the writer."""
        with self._lock:
            self._answers[position] = answer
            self._missing -= 1
            complete = self._missing == 0
        if complete:
            self._cycle.submit_owed(self)

    def refuse(self, refusal: Refusal) -> None:
        """Answer that no outcome could be recorded; start-up will record one."""
        self._reply(refusal)

    def decide(self, state: State, at: At) -> Decided:  # noqa: ARG002 - outcomes have no moment of their own
        """Decide the outcome: step 8."""
        reasons = [
            REVOKED_BEFORE_RELEASE
            if state.certificates[entry.seq].revoked
            else None
            if isinstance(answer, Signed)
            else answer.reason
            for (_, entry), answer in self._pairs()
        ]
        if any(reasons):
            return self._fail([reason or NEIGHBOUR_FAILED for reason in reasons])
        events = [
            Event(
                kind="certificate.issued",
                data=CertificateIssued(
                    intent=entry.seq, signature=base64.b64encode(answer.signature).decode()
                ),
            )
            for (_, entry), answer in self._pairs()
            if isinstance(answer, Signed)
        ]
        return Decided(events=events, after=self._release)

    def _pairs(self) -> list[tuple[tuple[Planned, Entry], Signed | Unsigned]]:
        answers = [answer for answer in self._answers if answer is not None]
        return list(zip(self._intents, answers, strict=True))

    def _fail(self, reasons: Sequence[str]) -> Decided:
        events = []
        for ((planned, entry), answer), reason in zip(self._pairs(), reasons, strict=True):
            requested = isinstance(answer, Signed) or answer.requested
            abandoned = isinstance(answer, Unsigned) and answer.abandoned
            unfulfilled = CertificateUnfulfilled(intent=entry.seq, reason=reason, requested=requested)
            kind = "certificate.abandoned" if abandoned else "certificate.failed"
            events.append(Event(kind=kind, data=unfulfilled))
            if isinstance(answer, Unsigned) and answer.halts:
                halted = CaHalted(
                    name=planned.profile.ca,
                    ca_key=planned.ca_key.fingerprint,
                    intent=entry.seq,
                    reason=answer.reason,
                )
                events.append(Event(kind="ca.halted", data=halted))
        refusal = _explain_failure(reasons)
        return Decided(events=events, after=lambda _entries: self._reply(refusal))

    def _release(self, outcomes: Sequence[Entry]) -> None:
        """Step 9: the outcomes are durable, the certificates may leave."""
        certificates = [
            _build_reply(planned, entry, answer.signature)
            for (planned, entry), answer in self._pairs()
            if isinstance(answer, Signed)
        ]
        self._reply(Release(certificates=certificates, ledger_size=outcomes[-1].seq + 1))


def _build_reply(planned: Planned, entry: Entry, signature: bytes) -> IssuedReply:
    certificate = Certificate(content=planned.content, tbs=planned.tbs, signature=signature)
    return IssuedReply(
        line=format_certificate_line(certificate, planned.content.key_id),
        content=planned.content,
        ca=planned.profile.ca,
        seq=entry.seq,
        leaf_hash=entry.leaf_hash,
    )


def _explain_failure(reasons: Sequence[str]) -> Refusal:
    if REVOKED_BEFORE_RELEASE in reasons:
        return Refusal(
            "policy-denied", "the certificate was revoked before it was released", rule="revocation"
        )
    if NO_TURN in reasons:
        return Refusal(
            "overloaded",
            "the token could not be asked in time; the attempt is on record, nothing was signed: try again",
            retry_after_s=10,
        )
    return Refusal(
        "hsm-unavailable",
        "the token did not sign; the attempt is on record, nothing was released: try again",
        retry_after_s=5,
    )


def _check_start(request: UserRequest | HostRequest, now_s: int) -> None:
    """Refuse what is to begin at a moment that has passed: it would begin now, which nobody asked for."""
    start_s = request.start_s if isinstance(request, UserRequest) else None
    if start_s is not None and start_s < now_s - SLACK_S:
        passed = format_moment(start_s)
        raise malformed("start", f"{passed} has passed: expected a moment to come, or leave it out for now")


def _use_credential(state: State, identity: Identity, at: At) -> list[Event]:
    """Check the API credential that the identity rests on; record a use where uses are counted."""
    credential = _check_credential(state, identity, at)
    if credential is None or credential.uses_left is None:
        return []
    if credential.uses_left == 0:
        raise Refusal("unauthenticated", "the credential is not valid")
    return [Event(kind="credential.used", data=CredentialUsed(id=credential.id))]


def _check_credential(state: State, identity: Identity, at: At) -> Credential | None:
    """Return the API credential that the identity rests on, if any; a revoked or expired one is refused."""
    claim = identity.claim(CLAIM)
    if claim is None:
        return None
    credential = state.credentials.get(claim)
    if (
        credential is None
        or credential.revoked
        or (credential.expires_s is not None and credential.expires_s <= at.time_s)
    ):
        raise Refusal("unauthenticated", "the credential is not valid")
    return credential
