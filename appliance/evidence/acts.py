"""Acts, judged again: what rests on an identity's role and on no order."""

from __future__ import annotations

from appliance.authority.fold.standing import standing_in
from appliance.authority.fold.state import State
from appliance.evidence.findings import Code, Found
from appliance.identity.identity import Identity
from appliance.policy.document import Policy
from appliance.policy.powers import may_still_act


class NotEntitled(Found):
    """An act by someone who had not the role for it."""

    code = Code.NOT_ENTITLED


def check_act(state: State, by: object, act: str) -> None:
    """Check that an identity, as an entry has it, could do ``act`` under the policy and the locks in force.

    Raises:
        NotEntitled, and whatever malformed data raise.
    """
    identity, policy = Identity.from_data(by), policy_in_force(state)
    if not may_still_act(policy, identity, act, standing_in(state, policy)):
        raise NotEntitled(f"{identity} could not do that under the policy and the locks in force")


def policy_in_force(state: State) -> Policy:
    """Return the policy in force.

    Raises:
        NotEntitled: there is none, so nobody can do anything.
    """
    if state.applied is None:
        raise NotEntitled("no policy was in force")
    return state.applied.policy
