"""Approvals: somebody asks others to let him rest on a grant, and they answer with a signature each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from appliance.authority.approving.answers import AnswerBody, AnswerContext, verify_answer
from appliance.authority.events import ApprovalRequested, Event
from appliance.authority.fold.approvals import Requested
from appliance.authority.fold.standing import counts, is_key_barred, is_person_locked
from appliance.authority.fold.state import State
from appliance.authority.writer import At, Decided
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.policy.document import Policy
from appliance.policy.evaluate import relied_groups
from appliance.policy.fields import NameField
from appliance.policy.tables import Grant
from audit.entry import Entry

# How long others have to answer.
ANSWER_S: Final = 3_600

# The seq of the request that is on record, and whether it was there before.
AnswerRequest = Callable[[tuple[int, bool] | Refusal], None]


class ApprovalBody(BaseModel):
    """Ask for approval to rest on a grant."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    grant: Annotated[NameField, Field(description="the grant, which requires approvals")]
    reason: Annotated[str, Field(min_length=1, max_length=500, examples=["restore the backup of Tuesday"])]


class RequestApproval:
    """Puts a request on record, if there is none of the same kind that can still be answered."""

    def __init__(self, identity: Identity, body: ApprovalBody, answer: AnswerRequest) -> None:
        self._identity = identity
        self._body = body
        self._answer = answer

    def decide(self, state: State, at: At) -> Decided:
        """Decide whether a grant covers the requester that requires approvals at all."""
        policy = state.in_force().policy
        grant = find_grant(policy, self._identity, self._body.grant)
        asked = state.approvals.asked_by(str(self._identity))
        of_grant = (each for each in asked if each.grant == grant.name)
        known = next((each for each in of_grant if _is_open(state, policy, each, at.time_s)), None)
        if known is not None:
            return Decided(after=lambda _entries: self._answer((known.seq, True)))
        identity = self._identity.to_data()
        identity["groups"] = list(_relied(policy, self._identity, grant.name))
        data = ApprovalRequested(
            identity=identity,
            grant=grant.name,
            reason=self._body.reason,
            answer_by_s=at.time_s + ANSWER_S,
            ttl_s=min(grant.ttl_s, state.max_ttl_s),
        )
        return Decided(events=[Event(kind="approval.requested", data=data)], after=self._tell)

    def refuse(self, refusal: Refusal) -> None:
        """Answer that nothing was asked."""
        self._answer(refusal)

    def _tell(self, entries: Sequence[Entry]) -> None:
        self._answer((entries[0].seq, False))


class AnswerApproval:
    """Records a person's answer; who brings it does not matter."""

    def __init__(self, seq: int, body: AnswerBody, answer: Callable[[int | Refusal | None], None]) -> None:
        self._seq = seq
        self._body = body
        self._answer = answer

    def decide(self, state: State, at: At) -> Decided:
        """Verify the answer beside the policy and the request that it is about."""
        verify_answer(self._body, answer_context(state, self._seq, at.time_s))
        event = Event(kind=f"approval.{self._body.decision}", data=self._body.to_data(self._seq))
        return Decided(events=[event], after=lambda entries: self._answer(entries[0].seq))

    def refuse(self, refusal: Refusal) -> None:
        """Answer that nothing was recorded."""
        self._answer(refusal)


def answer_context(state: State, seq: int, now_s: int) -> AnswerContext:
    """Return what an answer to the request ``seq`` is checked against; raises as :func:`find_requested`."""
    policy = state.in_force().policy
    return AnswerContext(
        origin=state.origin,
        policy=policy,
        requested=find_requested(state, seq, now_s),
        now_s=now_s,
        locked=partial(is_person_locked, state, policy),
        barred=partial(is_key_barred, state),
    )


def find_grant(policy: Policy, identity: Identity, name: str) -> Grant:
    """Return the grant of that name that covers an identity and requires approvals.

    Raises:
        Refusal: ``policy-denied`` or ``conflict``; there is none, or it requires none.
    """
    held = [filed.grant for filed in policy.held_by(identity) if filed.grant.name == name]
    if not held:
        raise Refusal("policy-denied", f"no grant of yours is called {name!r}", rule="default-deny")
    demanding = [grant for grant in held if grant.require.approvals]
    if not demanding:
        raise Refusal("conflict", f"the grant {name!r} requires no approval: ask for a certificate")
    return demanding[0]


def find_requested(state: State, seq: int, now_s: int) -> Requested:
    """Return what was asked for and can still matter.

    Raises:
        Refusal: ``not-found``.
    """
    requested = state.approvals.get(seq)
    if requested is None or requested.ends_s <= now_s:
        raise Refusal("not-found", f"entry {seq} asked for no approval, or that is over")
    return requested


def _is_open(state: State, policy: Policy, requested: Requested, now_s: int) -> bool:
    """Say whether a request is good for something still: else it is to be asked for anew."""
    lasts = requested.is_open(now_s) and requested.stands(policy)
    return lasts and all(counts(state, policy, each) for each in requested.given)


def _relied(policy: Policy, identity: Identity, grant: str) -> tuple[str, ...]:
    """Return the provider's groups that go on record: those by which the grant covers the requester."""
    held = [filed for filed in policy.held_by(identity) if filed.grant.name == grant]
    return relied_groups(held, identity)
