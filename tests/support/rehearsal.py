"""The authority's writer and cycle on one thread, with a clock that is set: months of its life in seconds."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from appliance.authority.approving.answers import NAMESPACE as ANSWERS
from appliance.authority.approving.answers import AnswerBody, Decision, answer_message
from appliance.authority.approving.approving import AnswerApproval, ApprovalBody, RequestApproval
from appliance.authority.cutting.cutting import Cause, CutOff
from appliance.authority.cutting.leaving import BookLeave, LeaveBody, cancel_leave
from appliance.authority.cutting.locking import find_lock, lift_lock
from appliance.authority.cutting.revocation import find_revocation
from appliance.authority.events import IdempotencyData
from appliance.authority.fold.state import State
from appliance.authority.issuing.denials import Denials, RecordDenials
from appliance.authority.issuing.issuance import Cycle, IssueCertificates
from appliance.authority.issuing.releases import Release
from appliance.authority.ordering.administration import CarryOut, add_host, apply_policy, remove_host
from appliance.authority.ordering.commands import (
    AddHost,
    ApplyPolicy,
    CancelLeave,
    LabelBody,
    LiftLock,
    RemoveHost,
)
from appliance.authority.orders import NAMESPACE, OrderBody, order_message
from appliance.authority.signing import NOT_HELD, Signed, SigningJob, Unsigned
from appliance.authority.writer import Command, Writer
from appliance.cutting import LockBody, RevocationBody
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.policy.document import PolicyFile
from appliance.requests import HostRequest, UserRequest
from appliance.ssh.keys import fingerprint
from appliance.ssh.signature import sign
from appliance.ssh.sshsig import build_sshsig
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.ledger import Ledger
from audit.stores.sqlite import SqliteStore
from support.authority import CA_NAMES, LEDGER_KEY, NOW_MS, ORIGIN, identity, seed_entries
from support.ssh_examples import private_key, public_key


class Rehearsal:
    """One authority. Whatever is asked of it is done when the call returns."""

    def __init__(self, path: Path) -> None:
        self.ledger, self.state = Ledger.create(SqliteStore.create(path)), State()
        self.now_ms = NOW_MS
        self.meanwhile: Callable[[], object] | None = None
        with self.ledger.batch(self.now_ms) as batch:
            for kind, data in seed_entries():
                self.state.apply(batch.append(kind, data))
        self.keys = {fingerprint(public_key(key, 11)): private_key(key, 11) for key in CA_NAMES.values()}
        self._denials = Denials()
        self._owed: deque[Command] = deque()
        self._writer = Writer(self.ledger, self.state, now_ms=lambda: self.now_ms, on_failure=self._fail)
        self._cycle = Cycle(
            sign=self._sign,
            submit_owed=self._owed.append,
            replay=_no_repetition,
            denials=self._denials,
            draw=lambda size: bytes(range(size)),
        )

    @property
    def now_s(self) -> int:
        """The moment, in seconds."""
        return self.now_ms // 1000

    def advance(self, seconds: float) -> None:
        """Let time go by; what was refused meanwhile and counted goes on record."""
        self.now_ms += int(seconds * 1000)
        self.carry_out(RecordDenials(self._denials))

    def carry_out(self, command: Command) -> None:
        """Have a command carried out, and all that follows from it; what comes ``meanwhile`` in between."""
        meanwhile, self.meanwhile = self.meanwhile, None
        self._owed.append(command)
        while self._owed:
            self._writer._run_batch([self._owed.popleft()])
            if meanwhile is not None:
                followed = list(self._owed)
                self._owed.clear()
                meanwhile()
                self._owed.extend(followed)
                meanwhile = None

    def ask(
        self,
        who: Identity,
        request: UserRequest | HostRequest,
        *,
        on_behalf_of: Identity | None = None,
        idempotency: IdempotencyData | None = None,
    ) -> Release | Refusal:
        """Ask for certificates."""
        answer: Release | Refusal = self._answered(
            lambda reply: IssueCertificates(
                self._cycle, who, request, reply, on_behalf_of=on_behalf_of, idempotency=idempotency
            )
        )
        return answer

    def apply(self, text: str) -> Any:
        """Have a policy of one file applied."""
        files = [PolicyFile(name="policy.toml", text=text)]
        command = ApplyPolicy.of(files)
        return self._answered(
            lambda reply: apply_policy(command, files, self.order(command), reply, now_s=self.now_s)
        )

    def add_host(self, name: str, **labels: str) -> Any:
        """Have a host of acme registered."""
        listed = [LabelBody(name=key, value=labels[key]) for key in sorted(labels)]
        command = AddHost(name=name, customer="acme", names=[name], labels=listed)
        return self._answered(lambda reply: add_host(command, self.order(command), reply))

    def remove_host(self, name: str) -> Any:
        """Have a host removed."""
        command = RemoveHost(name=name)
        return self._answered(lambda reply: remove_host(command, self.order(command), reply))

    def revoke(self, **named: str) -> Any:
        """Have carol revoke what one member of the body names, two certificates in each command."""
        return self._cut(find_revocation, RevocationBody.model_validate({"reason": "lost", **named}))

    def lock(self, **named: str) -> Any:
        """Have carol lock what one member of the body names, two certificates in each command."""
        return self._cut(find_lock, LockBody.model_validate({"reason": "suspicious", **named}))

    def lift(self, seq: int) -> Any:
        """Have a lock lifted."""
        command = LiftLock(lock=seq)
        return self._answered(lambda reply: lift_lock(command, self.order(command), reply))

    def book(self, person: str, starts_s: int, ends_s: int) -> Any:
        """Have carol book leave."""
        body = LeaveBody(person=person, starts_s=starts_s, ends_s=ends_s)
        return self._answered(lambda reply: BookLeave(identity("carol"), body, reply))

    def cancel(self, seq: int, ends_s: int | None = None) -> Any:
        """Have a leave cancelled, or shortened."""
        command = CancelLeave(leave=seq, ends_s=ends_s)
        return self._answered(lambda reply: cancel_leave(command, self.order(command), reply))

    def ask_approval(self, who: Identity, grant: str) -> Any:
        """Ask others to let ``who`` rest on a grant; the answer holds the entry that asks."""
        body = ApprovalBody(grant=grant, reason="a ticket")
        return self._answered(lambda reply: RequestApproval(who, body, reply))

    def answer_approval(self, seq: int, person: str, key: int, decision: Decision, lasts_s: int) -> Any:
        """Have a person answer with the ed25519 key of this number."""
        requested = self.state.approvals.get(seq)
        assert requested is not None
        expires_s = self.now_s + lasts_s
        message = answer_message(ORIGIN, requested, decision, expires_s)
        blob = build_sshsig(private_key("ed25519", key), ANSWERS, message)
        body = AnswerBody(
            decision=decision,
            person=person,
            expires_s=expires_s,
            signature=base64.b64encode(blob).decode(),
        )
        return self._answered(lambda reply: AnswerApproval(seq, body, reply))

    def order(self, command: Any) -> list[OrderBody]:
        """Return carol's order for a command, good for a minute."""
        assert self.state.applied is not None
        policy, expires_s = self.state.applied.seq, self.now_s + 60
        message = order_message(ORIGIN, command.to_command(), policy, expires_s)
        signature = base64.b64encode(build_sshsig(private_key("ed25519", 7), NAMESPACE, message)).decode()
        return [OrderBody(operator="carol", policy=policy, expires_s=expires_s, signature=signature)]

    def close(self) -> None:
        """Sign a checkpoint over it all."""
        self.advance(11)
        with self.ledger.batch(self.now_ms) as batch:
            note = sign_checkpoint(Checkpoint(ORIGIN, self.ledger.size, self.ledger.root), LEDGER_KEY)
            batch.add_checkpoint(note, self.ledger.size)
        self.ledger.close()

    def _cut(self, find: Callable[..., Cause], body: RevocationBody | LockBody) -> Any:
        cause = partial(find, identity("carol"), body)
        return self._answered(lambda reply: CutOff(cause, self._owed.append, reply, most=2))

    def _answered(self, build: Callable[[Callable[[Any], None]], Command | CarryOut]) -> Any:
        answers: list[Any] = []
        try:
            self.carry_out(build(answers.append))
        except Refusal as refusal:
            return refusal
        (answer,) = answers
        return answer

    def _sign(self, job: SigningJob) -> None:
        key = self.keys.get(job.ca_key)
        job.done(
            Unsigned(reason=NOT_HELD, requested=False)
            if key is None
            else Signed(signature=sign(key, job.tbs))
        )

    def _fail(self, error: BaseException) -> None:
        raise error


def _no_repetition(_repetition: object) -> None:
    raise AssertionError("no request of a rehearsal comes twice")


@contextmanager
def rehearsal(path: Path) -> Iterator[Rehearsal]:
    """Run an authority on a new ledger file."""
    authority = Rehearsal(path)
    try:
        yield authority
    finally:
        authority.close()
