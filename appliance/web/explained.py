"""What the routes answer with that explain and plan access, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from appliance.policy.fields import Maybe
from appliance.web.replies import Moment, Seq, Size


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ObstacleShown(_Reply):
    """Why a grant gives nothing: the rule that refuses, and words for it."""

    rule: str
    detail: str


class ExplainedGrant(_Reply):
    """What becomes of one grant, for the one who was asked about."""

    file: str
    name: str
    verdict: Annotated[
        Literal["gives", "depends", "refuses"], Field(description="depends: on all of the conditions")
    ]
    principals: Annotated[list[str], Field(description="what it gives of what was asked about")]
    conditions: Annotated[list[str], Field(description="what a request must come with")]
    obstacles: list[ObstacleShown]
    valid_before: Maybe[Annotated[Moment, Field(description="where a certificate of that moment would end")]]
    next: Maybe[Annotated[Moment, Field(description="when the grant opens next")]]


class AccessExplained(_Reply):
    """Every grant that could be meant, and what becomes of it; what gives something comes first."""

    subject: str
    at: Moment
    policy: Annotated[Seq, Field(description="the policy in force")]
    grants: list[ExplainedGrant]
    left_out: Annotated[int, Field(ge=0, description="how many grants more would be here")]
    next: Maybe[Annotated[Moment, Field(description="when a grant gives something next, if none does")]]
    ledger_size: Size
