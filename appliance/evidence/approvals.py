"""Approvals, judged again: who asked for which grant, and who answered with which key.

That a certificate had enough of them, by others and in time, is shown by the replay of its decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.authority.approving.answers import AnswerBody, verify_answer
from appliance.authority.approving.approving import ANSWER_S, answer_context, find_grant
from appliance.authority.fold.state import State
from appliance.errors import Refusal
from appliance.evidence.acts import policy_in_force, read_actor
from appliance.evidence.findings import Code, Found
from audit.entry import Entry


class WrongApproval(Found):
    """An approval that nobody could ask for, or that nobody who could has given."""

    code = Code.WRONG_APPROVAL


def check_requested(state: State, entry: Entry) -> None:
    """Check a request on the state before it.

    Raises:
        WrongApproval, and whatever malformed data raise.
    """
    data: Mapping[str, Any] = entry.data
    identity, now_s = read_actor(state, data["identity"]), entry.time_ms // 1000
    try:
        grant = find_grant(policy_in_force(state), identity, data["grant"])
    except Refusal as refusal:
        raise WrongApproval(refusal.detail) from refusal
    if data["answer_by_s"] != now_s + ANSWER_S or data["ttl_s"] != min(grant.ttl_s, state.max_ttl_s):
        raise WrongApproval("it lasts longer, or shorter, than it may")


def check_answered(state: State, entry: Entry) -> None:
    """Verify an answer on the state before it; raises as :func:`check_requested`."""
    data: Mapping[str, Any] = entry.data
    body = AnswerBody(
        decision="given" if entry.kind == "approval.given" else "refused",
        person=data["person"],
        expires_s=data["expires_s"],
        signature=data["signature"],
        reason=data.get("reason"),
    )
    now_s = entry.time_ms // 1000
    try:
        verify_answer(body, answer_context(state, data["approval"], now_s))
    except Refusal as refusal:
        raise WrongApproval(refusal.detail) from refusal
