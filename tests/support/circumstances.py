"""What decisions rest on besides the policy, made for tests of the authority: leave and approvals."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Sequence
from typing import Any, Final

from appliance.authority.approving.answers import NAMESPACE, AnswerBody, Decision, answer_message
from appliance.authority.approving.approving import AnswerApproval, ApprovalBody, RequestApproval
from appliance.authority.cutting.leaving import BookLeave, LeaveBody, WithdrawLeave, cancel_leave
from appliance.authority.ordering.administration import apply_policy
from appliance.authority.ordering.commands import ApplyPolicy, CancelLeave
from appliance.authority.orders import OrderBody
from appliance.policy.document import PolicyFile
from appliance.requests import check_body
from appliance.ssh.keys import format_public_key_line
from appliance.ssh.sshsig import build_sshsig
from support.authority import NOW_MS, ORIGIN, POLICY, TestAuthority, identity, order
from support.ssh_examples import private_key, public_key

NOW_S: Final = NOW_MS // 1000
DAY: Final = 86_400
# Whose key each person signs with.
SEEDS: Final = {"bob": 31, "eve": 32, "alice": 33}


def policy(approvals: int = 1) -> str:
    """Return the policy of the other tests, with a grant that requires approvals."""
    persons = "".join(
        f'[[person]]\nname = "{name}"\nidentities = ["mtls:{name}", "api:{name}"]\n'
        f'keys = ["{format_public_key_line(public_key("ed25519", seed))}"]\n'
        for name, seed in SEEDS.items()
    )
    return f"""{POLICY}{persons}
[[group]]
name = "owners"
members = ["mtls:bob", "mtls:eve", "api:alice"]
[[grant]]
name = "prod"
who = {{ users = ["mtls:alice"] }}
on = ["web"]
as = ["root"]
ttl = "2h"
require = {{ approvals = {approvals}, approvers = ["owners"] }}
"""


class Answer:
    """Where an answer arrives."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.value: Any = None

    def __call__(self, value: Any) -> None:
        self.value = value
        self.arrived.set()

    def wait(self) -> Any:
        assert self.arrived.wait(10)
        return self.value


def apply(authority: TestAuthority, text: str) -> None:
    digest = hashlib.sha256(text.encode()).hexdigest()
    command = ApplyPolicy(files=[{"name": "policy.toml", "sha256": digest}])  # type: ignore[list-item]
    assert authority.state.applied is not None
    signed: Any = order(command.to_command(), policy=authority.state.applied.seq)
    orders = [OrderBody(**each) for each in signed["orders"]]
    answer = Answer()
    files = [PolicyFile(name="policy.toml", text=text)]
    authority.writer.submit(apply_policy(command, files, orders, answer, now_s=NOW_S))
    assert isinstance(answer.wait(), Sequence), answer.value


def book(authority: TestAuthority, by: str = "carol", **changes: Any) -> Any:
    fields: dict[str, Any] = {"person": "mtls:alice", "starts_s": NOW_S + DAY, "ends_s": NOW_S + 2 * DAY}
    answer = Answer()
    body = check_body(LeaveBody, fields | changes)
    authority.writer.submit(BookLeave(identity(by), body, answer))
    return answer.wait()


def cancel(authority: TestAuthority, **fields: Any) -> Any:
    command = CancelLeave(**fields)
    assert authority.state.applied is not None
    signed: Any = order(command.to_command(), policy=authority.state.applied.seq)
    answer = Answer()
    authority.writer.submit(cancel_leave(command, [OrderBody(**each) for each in signed["orders"]], answer))
    return answer.wait()


def withdraw(authority: TestAuthority, seq: int, by: str = "carol") -> Any:
    answer = Answer()
    authority.writer.submit(WithdrawLeave(identity(by), seq, answer))
    return answer.wait()


def request(authority: TestAuthority, who: str = "alice", grant: str = "prod") -> Any:
    answer = Answer()
    body = ApprovalBody(grant=grant, reason="restore the backup")
    authority.writer.submit(RequestApproval(identity(who), body, answer))
    return answer.wait()


def sign(
    authority: TestAuthority,
    seq: int,
    person: str,
    decision: Decision,
    expires_s: int,
    seed: int | None = None,
) -> AnswerBody:
    requested = authority.state.approvals.get(seq)
    assert requested is not None
    message = answer_message(ORIGIN, requested, decision, expires_s)
    blob = build_sshsig(private_key("ed25519", seed or SEEDS[person]), NAMESPACE, message)
    signature = base64.b64encode(blob).decode()
    return AnswerBody(decision=decision, person=person, expires_s=expires_s, signature=signature)


def give(authority: TestAuthority, seq: int, body: AnswerBody, **changes: Any) -> Any:
    told = Answer()
    authority.writer.submit(AnswerApproval(seq, body.model_copy(update=changes), told))
    return told.wait()


def answer(
    authority: TestAuthority,
    seq: int,
    person: str,
    decision: Decision = "given",
    *,
    expires_s: int = NOW_S + 3_600,
) -> Any:
    return give(authority, seq, sign(authority, seq, person, decision, expires_s))
