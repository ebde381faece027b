"""Operations that ask for approval, and answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.authority.approving.answers import AnswerBody, find_approvers
from appliance.authority.approving.approving import (
    AnswerApproval,
    ApprovalBody,
    RequestApproval,
    find_requested,
)
from appliance.authority.fold.approvals import Requested
from appliance.authority.fold.state import State
from appliance.authority.operations.callers import find_caller
from appliance.authority.operations.cutting import tell_seq
from appliance.authority.operations.parts import Parts, Table
from appliance.authority.operations.reading import MAX_SEQ
from appliance.authority.transport.server import Peer, Reply
from appliance.authority.writer import At, ReadState
from appliance.errors import Refusal, malformed
from appliance.identity.identity import Identity
from appliance.policy.roles import may_act
from appliance.requests import check_body


class Approving:
    """What is done about approvals."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def table(self) -> Table:
        """Return the operations by their names."""
        return {
            "approval.request": self._request,
            "approval.show": self._show,
            "approval.answer": self._answer,
        }

    def _request(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(ApprovalBody, args.get("body"))

        def answer(outcome: tuple[int, bool] | Refusal) -> None:
            reply(outcome if isinstance(outcome, Refusal) else {"seq": outcome[0], "already": outcome[1]})

        identity = find_caller(self._parts, peer, args)
        self._parts.rates.charge(identity)
        self._parts.writer.submit(RequestApproval(identity, body, answer))

    def _show(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Tell what an answer has to say, for whoever is to sign one."""
        seq = _seq(args)
        caller = None if peer.own else find_caller(self._parts, peer, args)

        def read(state: State, at: At) -> dict[str, Any]:
            requested = find_requested(state, seq, at.time_s)
            if caller is not None and not _concerns(state, requested, caller):
                raise Refusal("not-found", f"entry {seq} asked for no approval of yours")
            return {
                "origin": state.origin,
                "seq": requested.seq,
                "identity": requested.identity,
                "grant": requested.grant,
                "reason": requested.reason,
                "answer_by_s": requested.answer_by_s,
                "ttl_s": requested.ttl_s,
                "given_by": sorted(requested.given_by),
                "approvers": sorted(find_approvers(state.in_force().policy, requested)),
                "now_s": at.time_s,
            }

        self._parts.writer.submit(ReadState(read, reply))

    def _answer(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(AnswerBody, args.get("body"))
        # Who brings an answer does not matter to it, and signatures are verified on the writer's thread.
        self._parts.rates.charge(find_caller(self._parts, peer, args))
        self._parts.writer.submit(AnswerApproval(_seq(args), body, tell_seq(reply)))


def _concerns(state: State, requested: Requested, caller: Identity) -> bool:
    """Say whether somebody asked for it himself or, if he is not locked, may answer it or read them all."""
    policy = state.in_force().policy
    if str(caller) == requested.identity:
        return True
    if state.locks.on(policy, caller):
        return False
    if may_act(policy, caller, "approval.read"):
        return True
    return any(str(caller) in policy.persons[name].identities for name in find_approvers(policy, requested))


def _seq(args: Mapping[str, Any]) -> int:
    seq = args.get("approval")
    if type(seq) is not int or not 0 <= seq <= MAX_SEQ:
        raise malformed("approval", "expected the seq of the entry that asked for it")
    return seq
