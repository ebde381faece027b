"""What the routes of ``/v1/leave`` take and answer, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from appliance.authority.cutting.leaving import WhoField
from appliance.authority.ordering.commands import CancelLeave
from appliance.days import check_zone, parse_day_or_moment
from appliance.index.leave import LEAVE_CURSOR
from appliance.policy.fields import CURSOR, Maybe
from appliance.policy.zones import load_zone
from appliance.web.cut_replies import CutCertificate
from appliance.web.models import Ordered, Word
from appliance.web.replies import Cursor, Moment, Seq, Serial, Size
from appliance.web.shapes import Body, Paged, Reply
from appliance.words import Shaped

_ANY_ZONE = load_zone("UTC")


def _check_time(text: str) -> str:
    parse_day_or_moment(text, _ANY_ZONE)
    return text


_Time = Annotated[
    str,
    AfterValidator(_check_time),
    Field(
        max_length=40,
        description="a day, which begins at midnight in the time zone, or a moment (RFC 3339)",
        examples=["2026-12-01"],
        json_schema_extra={"format": "day-or-moment"},
    ),
]
_Zone = Annotated[
    str,
    AfterValidator(check_zone),
    Field(
        max_length=60,
        description="of days",
        examples=["Europe/Berlin"],
        json_schema_extra={"format": "time-zone"},
    ),
]


class LeaveQuery(Paged):
    """Some of the leave."""

    cursor: Maybe[Annotated[str, Shaped(LEAVE_CURSOR, CURSOR), Field(description="from the page before")]]
    person: Maybe[Annotated[Word, Field(description="a person of the policy, or provider:subject")]]
    past: Annotated[bool, Field(description="also what is over, or was cancelled")] = False
    pending: Annotated[bool, Field(description="only what its feed shows no more")] = False


class LeaveRequest(Body):
    """Leave to be booked. `ends` is the first day back, or moment: it is not part of the leave."""

    person: Annotated[WhoField | None, Field(default=None, description="default: yourself")]
    starts: _Time
    ends: _Time
    timezone: _Zone = "UTC"
    reason: Annotated[str | None, Field(default=None, min_length=1, max_length=500)]


class LeavePath(Body):
    """A leave by the entry that booked it."""

    leave: Annotated[int, Field(ge=0, le=2**53 - 1)]


class CancelLeaveOrder(Ordered[CancelLeave]):
    """Cancel a leave, or have it end sooner."""


class LeaveShown(Reply):
    """A leave."""

    leave: Seq
    person: Annotated[str, Field(description="by name, or provider:subject of whom the policy has no person")]
    identities: Annotated[list[str], Field(description="his accounts when it was booked")]
    starts: Moment
    ends: Annotated[Moment, Field(description="the first moment with access again")]
    timezone: Maybe[str]
    state: Literal["booked", "away", "over", "cancelled", "replaced"]
    reason: Maybe[str]
    feed: Maybe[str]
    uid: Maybe[Annotated[str, Field(description="of the feed's event")]]
    booked_by: str
    booked: Moment
    withdrawn: Maybe[Annotated[Moment, Field(description="since when its feed shows it no more")]]
    pending_cancellation: Annotated[bool, Field(description="an operator is to cancel it, or to let it be")]
    ended: Maybe[Moment]


class LeavePage(Reply):
    """Some leave, the last booked first."""

    leave: list[LeaveShown]
    cursor: Cursor
    ledger_size: Size


class LeaveBooked(Reply):
    """A leave that is on record, by this request or an earlier one."""

    leave: Seq
    person: str
    starts: Moment
    ends: Moment
    revoked: Annotated[
        list[Serial], Field(description="certificates that reached into it; the first of them")
    ]
    revoked_count: Annotated[int, Field(ge=0)]
    live: Annotated[list[CutCertificate], Field(description="those that `revoked` names")]
    note: str
    already: Maybe[Annotated[Literal[True], Field(description="it had been booked before")]]
