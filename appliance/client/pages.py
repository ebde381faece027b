"""What the service answers to who asks about himself: as far as it is shown, and the rest as it came."""

from __future__ import annotations

from pydantic import ConfigDict

from appliance.client.replies import Moment, Reply


class _Kept(Reply):
    model_config = ConfigDict(extra="allow")


class Obstacle(_Kept):
    """Why a grant gives nothing."""

    detail: str


class Explained(_Kept):
    """What one grant makes of somebody."""

    name: str
    verdict: str
    principals: list[str]
    conditions: list[str]
    obstacles: list[Obstacle]
    valid_before: Moment | None = None


class Explanation(_Kept):
    """``GET /v1/access/explain``."""

    subject: str
    at: Moment
    policy: int
    grants: list[Explained]
    left_out: int
    next: Moment | None = None


class Answer(_Kept):
    """What a person answered."""

    person: str
    answer: str


class Approval(_Kept):
    """An approval that somebody asked for."""

    approval: int
    identity: str
    grant: str
    reason: str
    state: str
    needed: int
    approvers: list[str]
    answers: list[Answer]
    answer_by: Moment
    ttl: str
    ends: Moment | None = None


class Approvals(_Kept):
    """``GET /v1/approvals``."""

    origin: str
    approvals: list[Approval]
    cursor: str | None


class Asked(_Kept):
    """``POST /v1/approvals``."""

    approval: int


class Answered(_Kept):
    """``POST /v1/approvals/{approval}``."""

    approval: int
    entry: int


class Leave(_Kept):
    """A leave."""

    leave: int
    person: str
    starts: Moment
    ends: Moment
    state: str
    booked_by: str
    feed: str | None = None
    pending_cancellation: bool


class Leaves(_Kept):
    """``GET /v1/leave``."""

    leave: list[Leave]
    cursor: str | None


class LiveCertificate(_Kept):
    """A certificate that was live when it was cut off."""

    intent: int
    subject: str
    valid_before: Moment
    serial: str
    principals: list[str]
    host_groups: list[str]


class Booked(_Kept):
    """``POST /v1/leave``."""

    leave: int
    person: str
    starts: Moment
    ends: Moment
    revoked_count: int
    live: list[LiveCertificate]
    note: str


class Certificate(_Kept):
    """A certificate on record."""

    serial: str
    state: str
    subject: str
    principals: list[str]
    valid_before: Moment


class Certificates(_Kept):
    """``GET /v1/certificates``."""

    certificates: list[Certificate]
    cursor: str | None
