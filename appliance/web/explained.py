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

    account: Maybe[Annotated[str, Field(description="of a person: the one of his to which it gives most")]]
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
    policy: Annotated[Seq, Field(description="the policy in force, or that was at the moment")]
    settled: Maybe[
        Annotated[bool, Field(description="of a past moment: whether no entry that is to come is of it")]
    ]
    grants: list[ExplainedGrant]
    left_out: Annotated[int, Field(ge=0, description="how many grants more would be here")]
    next: Maybe[Annotated[Moment, Field(description="when a grant gives something next, if none does")]]
    ledger_size: Size


class PlannedChange(_Reply):
    """One line of access that changes: who, as which login, on which host group, and on what terms."""

    kind: Literal["gains", "loses", "loosens", "tightens", "changes"]
    who: Annotated[str, Field(description="provider:subject, or `group` and a provider's group")]
    login: str
    host_group: str
    before: Annotated[list[str], Field(description="the terms now, each an alternative; empty: no access")]
    after: list[str]


class PlannedCounts(_Reply):
    """How many lines of access change, by kind."""

    gains: int
    loses: int
    loosens: int
    tightens: int
    changes: int


class PlannedHosts(_Reply):
    """A host group whose registered hosts change."""

    host_group: str
    gains: list[str]
    loses: list[str]


class PlannedOperator(_Reply):
    """An operator whose roles, identities or keys change; empty where he is none."""

    name: str
    before: list[str]
    after: list[str]


class PolicyPlanned(_Reply):
    """What a policy would change if it were applied instead of the one in force."""

    policy: Annotated[Seq, Field(description="the policy in force")]
    changes: Annotated[list[PlannedChange], Field(description="the first thousand")]
    counts: PlannedCounts
    left_out: Annotated[int, Field(ge=0, description="how many changes more there are")]
    complete: Annotated[bool, Field(description="false: there are too many lines to compare all of them")]
    hosts: list[PlannedHosts]
    operators: list[PlannedOperator]
    ledger_size: Size
