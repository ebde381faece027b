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


class PlannedChange(_Reply):
    """One line of access that changes: who, as which login, on which host group, and on what terms."""

    kind: Annotated[
        Literal["gains", "loses", "loosens", "tightens", "changes"],
        Field(description="changes: neither looser nor tighter, or the same terms in another order"),
    ]
    who: Annotated[
        str,
        Field(
            description="provider:subject; with `service` before it as a service, where that differs; or "
            "`group` and a provider's group"
        ),
    ]
    login: str
    host_group: str
    before: Annotated[
        list[str],
        Field(description="the terms now, each an alternative, in the order in which they count; or none"),
    ]
    after: list[str]
    locked: Maybe[Annotated[Seq, Field(description="of no use before this lock is lifted")]]
    away_until: Maybe[Annotated[Moment, Field(description="of no use before leave ends")]]


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
    gains: Annotated[list[str], Field(description="the first hundred")]
    loses: Annotated[list[str], Field(description="the first hundred")]
    more: Annotated[int, Field(ge=0, description="how many more come or go")]


class PlannedOperator(_Reply):
    """An operator whose roles, customers, identities or keys change; empty where he is none."""

    name: str
    before: list[str]
    after: list[str]


class PlannedSetting(_Reply):
    """What else changes: what only the one and what only the other policy says of it."""

    what: Annotated[str, Field(examples=["host group acme-db", "two_operators"])]
    before: list[str]
    after: list[str]


class PlannedStanding(_Reply):
    """An account that a lock or leave is on by one policy and not by the other."""

    who: str
    before: list[str]
    after: list[str]


class PlannedMore(_Reply):
    """How many more there are of what is shown in part."""

    not_compared: int
    hosts: int
    operators: int
    settings: int
    standing: int


class PolicyPlanned(_Reply):
    """What a policy would change if it were applied instead of the one in force; of each part a thousand."""

    policy: Annotated[Seq, Field(description="the policy in force")]
    changes: Annotated[list[PlannedChange], Field(description="by host group, login and who")]
    counts: PlannedCounts
    left_out: Annotated[int, Field(ge=0, description="how many changes more there are")]
    complete: Annotated[bool, Field(description="false: there is too much to compare all of it")]
    not_compared: Annotated[
        list[str], Field(description="host groups of which nothing is said, or not of all logins")
    ]
    hosts: list[PlannedHosts]
    operators: list[PlannedOperator]
    settings: list[PlannedSetting]
    standing: list[PlannedStanding]
    more: PlannedMore
    ledger_size: Size
