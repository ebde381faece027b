"""What the routes of ``/v1/approvals`` take and answer, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.index.approvals import APPROVAL_CURSOR
from appliance.policy.fields import CURSOR, Maybe
from appliance.web.replies import Cursor, Moment, Seq, Size
from appliance.web.shapes import Body, Paged, Reply
from appliance.words import Shaped


class ApprovalsQuery(Paged):
    """Some of the approvals."""

    cursor: Maybe[Annotated[str, Shaped(APPROVAL_CURSOR, CURSOR), Field(description="from the page before")]]
    past: Annotated[bool, Field(description="also what is over")] = False


class ApprovalPath(Body):
    """An approval by the entry that asked for it."""

    approval: Annotated[int, Field(ge=0, le=2**53 - 1)]


class AnswerShown(Reply):
    """What a person answered, with his signature on record."""

    person: str
    answer: Literal["given", "refused"]
    expires: Moment
    reason: Maybe[str]
    answered: Moment
    entry: Seq


class ApprovalShown(Reply):
    """An approval that somebody asked for."""

    approval: Seq
    identity: Annotated[str, Field(description="who asked: provider:subject")]
    grant: str
    reason: str
    requested: Moment
    answer_by: Moment
    ttl: Annotated[str, Field(description="how long it lasts at most")]
    state: Literal["open", "given", "refused", "over"]
    needed: Annotated[int, Field(ge=1, description="how many must give it, by the policy in force")]
    approvers: Annotated[list[str], Field(description="the persons who may answer, by the policy in force")]
    answers: list[AnswerShown]
    ends: Maybe[Annotated[Moment, Field(description="until when it lasts, as all who gave it say")]]


class ApprovalPage(Reply):
    """Some approvals, the last asked for first."""

    origin: Annotated[str, Field(description="of the log: what an answer names first")]
    approvals: list[ApprovalShown]
    cursor: Cursor
    ledger_size: Size


class ApprovalAsked(Reply):
    """An approval that is on record as asked for, by this request or an earlier one."""

    approval: Seq
    already: Maybe[Annotated[Literal[True], Field(description="it was asked for before, and is still open")]]


class ApprovalAnswered(Reply):
    """An answer that is on record."""

    approval: Seq
    answer: Literal["given", "refused"]
    entry: Seq
