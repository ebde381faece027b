"""``require`` of a grant: what must be true of key, identity and request before the grant gives anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field, StrictBool, StrictInt
from pydantic.dataclasses import dataclass as table

from appliance.durations import format_duration
from appliance.policy.circumstances import Approval
from appliance.policy.values import MANY, TABLE, Age, KeyType, Name, no_duplicates

if TYPE_CHECKING:
    from appliance.policy.asking import Asking
    from appliance.policy.document import Policy
    from appliance.policy.tables import Grant


@table(frozen=True, slots=True, kw_only=True, config=TABLE)
class Requirements:
    """A grant's ``require``; whatever is not named is not required.

    ``touch`` is what hardware keys do by themselves, and ``verify`` becomes a critical option, so that sshd
    insists on a PIN or a fingerprint too; hence both ask for the types of hardware keys alone.
    """

    key_types: Annotated[tuple[KeyType, ...], Field(min_length=1), AfterValidator(no_duplicates)] | None = (
        None
    )
    touch: StrictBool = False
    verify: StrictBool = False
    mfa: StrictBool = False
    max_auth_age_s: Annotated[Age | None, Field(alias="max_auth_age")] = None
    reason: StrictBool = False
    approvals: Annotated[StrictInt, Field(ge=0, le=20)] = 0
    approvers: Annotated[tuple[Name, ...], MANY, AfterValidator(no_duplicates)] = ()

    @property
    def hardware(self) -> bool:
        """Whether only a hardware key can do what is required."""
        return self.touch or self.verify


NOTHING_REQUIRED: Final = Requirements()


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a grant gives nothing: the rule that refuses, words for the caller, and when it would not."""

    rule: str
    detail: str
    next_s: int | None = None


def find_unmet(grant: Grant, asking: Asking) -> Iterator[Obstacle]:
    """Yield each requirement that a request does not meet, but for approvals, each in words."""
    require = grant.require
    if require is NOTHING_REQUIRED:
        return
    words = [
        ("key_types", _key_type(require, asking)),
        ("mfa", _mfa(require, asking)),
        ("max_auth_age", _auth_age(require, asking)),
        ("reason", _reason(require, asking)),
    ]
    for key, missing in words:
        if missing is not None:
            yield Obstacle(rule=f"require.{key}", detail=f"grant {grant.name!r} requires {missing}")


def list_conditions(require: Requirements) -> Iterator[str]:
    """Yield, in words, what a request must come with; approvals, which are on record, left out."""
    if (allowed := require.key_types) is not None:
        yield f"a key of the type {' or '.join(sorted(allowed))}"
    if require.verify:
        yield "a PIN or a fingerprint at each login"
    if require.mfa:
        yield "signing in with more than one factor"
    if require.max_auth_age_s is not None:
        yield f"signing in within the last {format_duration(require.max_auth_age_s)}"
    if require.reason:
        yield "a reason"


def list_requirements(require: Requirements) -> list[str]:
    """Return, in words, all that is required."""
    approvals = [_approvals(require)] if require.approvals else []
    return [*list_conditions(require), *approvals]


def _approvals(require: Requirements) -> str:
    number = "an approval" if require.approvals == 1 else f"{require.approvals} approvals"
    return f"{number} by members of {' or '.join(require.approvers)}"


def unapproved(grant: Grant) -> Obstacle:
    """Return the obstacle that approvals which the grant requires have not been given, or no longer count."""
    detail = (
        f"grant {grant.name!r} requires {_approvals(grant.require)} other than you: ask for it with "
        f"`chancery approval request {grant.name}` or at /v1/approvals"
    )
    return Obstacle(rule="require.approvals", detail=detail)


def find_approval(
    policy: Policy, grant: Grant, requester: str, approvals: Iterable[Approval], now_s: int
) -> Approval | None:
    """Return the approval that lasts longest of those that enough of the grant's approvers have given.

    Nobody approves for himself, whichever of his accounts he uses, and accounts of one person count once.
    """
    able = able_to_approve(policy, grant, requester)
    enough = [
        approval
        for approval in approvals
        if approval.grant == grant.name
        and approval.ends_s > now_s
        and len(approval.given_by & able) >= grant.require.approvals
    ]
    return max(enough, key=lambda approval: approval.ends_s, default=None)


def grants_named(policy: Policy, name: str) -> list[Grant]:
    """Return the grants of this name that require approvals; a policy in force has one of them at most."""
    found = (policy.grants[place].grant for place in policy.holders.names.get(name, ()))
    return [grant for grant in found if grant.require.approvals]


def able_to_approve(policy: Policy, grant: Grant, requester: str) -> frozenset[str]:
    """Return the persons of the grant's ``approvers`` but for the requester's own."""
    members = (name for group in grant.require.approvers for name in policy.groups[group].members)
    return frozenset(policy.who_is(name) for name in members) - {policy.who_is(requester)}


def able_to_answer(policy: Policy, name: str, requester: str) -> frozenset[str]:
    """Return the persons who may answer a request to rest on grants of this name: files may have one each."""
    grants = (filed.grant for filed in policy.grants if filed.grant.name == name)
    able = (able_to_approve(policy, grant, requester) for grant in grants if grant.require.approvals)
    return frozenset().union(*able)


def _key_type(require: Requirements, asking: Asking) -> str | None:
    allowed = require.key_types
    if allowed is None or asking.request.public_key.type in allowed:
        return None
    return f"a key of the type {' or '.join(sorted(allowed))}; got {asking.request.public_key.type}"


def _mfa(require: Requirements, asking: Asking) -> str | None:
    if not require.mfa or (asking.identity.mfa and asking.circumstances.delegate is None):
        return None
    return "that you have signed in with more than one factor, and by yourself"


def _auth_age(require: Requirements, asking: Asking) -> str | None:
    age_s = require.max_auth_age_s
    if age_s is None:
        return None
    fresh = asking.now_s - asking.identity.authenticated_ms // 1000 <= age_s
    if fresh and asking.circumstances.delegate is None:
        return None
    return f"that you have signed in within the last {format_duration(age_s)}, and by yourself"


def _reason(require: Requirements, asking: Asking) -> str | None:
    return "a reason" if require.reason and asking.request.reason is None else None
