"""Acts, judged again: what rests on an identity's role and on no order."""

from __future__ import annotations

from appliance.authority.fold.state import State
from appliance.evidence.findings import Code, Found
from appliance.identity.identity import Identity
from appliance.policy.document import Policy
from appliance.policy.roles import may_act


class NotEntitled(Found):
    """An act by someone who had not the role for it."""

    code = Code.NOT_ENTITLED


def check_act(state: State, by: object, act: str) -> None:
    """Check that an identity, as an entry has it, could do ``act`` under the policy in force.

    Raises:
        NotEntitled, and whatever malformed data raise.
    """
    identity = Identity.from_data(by)
    if not may_act(policy_in_force(state), identity, act):
        raise NotEntitled(f"{identity} could not do that under the policy in force")


def policy_in_force(state: State) -> Policy:
    """Return the policy in force.

    Raises:
        NotEntitled: there is none, so nobody can do anything.
    """
    if state.applied is None:
        raise NotEntitled("no policy was in force")
    return state.applied.policy
