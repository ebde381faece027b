"""Answers to requests for approval: what a person has signed with an SSH key of his own.

The SSHSIG is over a statement that names the log, the request, who asked for which grant, the decision and
until when it holds. So it is good for nothing else, and the web tier that carries it cannot have another
request approved. What it does not say is the reason that was given: that is on record with the request. A
request takes one answer of each person, hence none twice.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.authority.events import ApprovalAnswered
from appliance.authority.fold.approvals import Requested
from appliance.errors import Refusal
from appliance.policy.document import Policy
from appliance.policy.fields import READ_WHOLE, NameField
from appliance.policy.requirements import able_to_approve, grants_named
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import fingerprint
from appliance.ssh.sshsig import verify_sshsig

NAMESPACE: Final = "approval@chancery"
# A refusal ends a request for good; this bounds only how long one may lie around before it is given.
MAX_REFUSAL_S: Final = 24 * 3_600

Decision = Literal["given", "refused"]


class AnswerBody(BaseModel):
    """A person's signed answer to a request for approval."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    decision: Decision
    person: Annotated[NameField, Field(description="who answers: a person of the policy, with keys there")]
    expires_s: Annotated[
        int, Field(ge=0, le=2**53 - 1, description="until when the answer holds, in Unix seconds"), READ_WHOLE
    ]
    signature: Annotated[str, Field(max_length=16_384, description="base64 of the SSHSIG blob")]
    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None

    def to_data(self, approval: int) -> ApprovalAnswered:
        """Return the answer as the ledger records it."""
        data = ApprovalAnswered(
            approval=approval, person=self.person, expires_s=self.expires_s, signature=self.signature
        )
        if self.reason is not None:
            data["reason"] = self.reason
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerContext:
    """What an answer is checked against: the log, the policy in force, and what was asked for.

    ``locked`` says of a person, and ``barred`` of a key by its fingerprint, that nothing rests on them now.
    """

    origin: str
    policy: Policy
    requested: Requested
    now_s: int
    locked: Callable[[str], bool]
    barred: Callable[[str], bool]


def answer_message(origin: str, requested: Requested, decision: Decision, expires_s: int) -> bytes:
    """Return the statement that an answer signs (docs/formats/entries.md)."""
    lines = (
        "chancery/approval/v1",
        origin,
        str(requested.seq),
        requested.identity,
        requested.grant,
        decision,
        str(expires_s),
    )
    return "".join(f"{line}\n" for line in lines).encode()


def verify_answer(answer: AnswerBody, context: AnswerContext) -> None:
    """Verify that somebody who may answers, in time, and that he has signed what he answers.

    Raises:
        Refusal: ``policy-denied``, ``conflict`` or ``malformed-request``, with the reason.
    """
    requested = context.requested
    if requested.refused:
        raise Refusal("conflict", f"approval {requested.seq} has been refused")
    if answer.expires_s <= context.now_s:
        raise _denied("is over before it begins: name a moment to come until which it holds")
    if answer.decision == "given":
        _check_given(answer, context)
    elif answer.expires_s > context.now_s + MAX_REFUSAL_S:
        raise _denied(f"refuses until a moment that is not within {MAX_REFUSAL_S // 3600} h")
    if answer.person not in find_approvers(context.policy, requested):
        raise _denied(f"has an answer by {answer.person}, who is none of the approvers, or asked himself")
    _verify_signature(answer, context)


def find_approvers(policy: Policy, requested: Requested) -> frozenset[str]:
    """Return the persons who may answer: the approvers of the grant but for whoever asked, in any account."""
    able = (
        able_to_approve(policy, grant, requested.identity) for grant in grants_named(policy, requested.grant)
    )
    return frozenset().union(*able)


def _check_given(answer: AnswerBody, context: AnswerContext) -> None:
    requested, now_s = context.requested, context.now_s
    if context.locked(answer.person):
        raise _denied(f"by {answer.person} counts for nothing: he is locked")
    if not requested.stands(context.policy):
        raise Refusal("conflict", f"the grant {requested.grant} is another than was asked for: ask again")
    if now_s >= requested.answer_by_s:
        raise Refusal("conflict", f"approval {requested.seq} was not given in time: ask for it again")
    if answer.person in requested.given_by:
        raise Refusal("conflict", f"{answer.person} has given approval {requested.seq} already")
    if answer.expires_s > now_s + requested.ttl_s:
        raise _denied(f"lasts at most {requested.ttl_s} s, as certificates under the grant do")


def _verify_signature(answer: AnswerBody, context: AnswerContext) -> None:
    message = answer_message(context.origin, context.requested, answer.decision, answer.expires_s)
    keys = context.policy.persons[answer.person].keys
    # A refusal takes nothing from anyone that he should have: for that a locked key is good enough.
    if answer.decision == "given":
        keys = tuple(key for key in keys if not context.barred(fingerprint(key)))
    try:
        blob = base64.b64decode(answer.signature, validate=True)
        verify_sshsig(blob, namespace=NAMESPACE, message=message, allowed_keys=keys)
    except (binascii.Error, SshFormatError) as error:
        raise _denied(
            f"has a signature that is not one of {answer.person}'s keys over this answer"
        ) from error


def _denied(what: str) -> Refusal:
    return Refusal("policy-denied", f"an approval {what}", rule="approval")
