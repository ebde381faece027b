"""Acts, judged again: what rests on an identity's role and on no order."""

from __future__ import annotations

from appliance.authority.fold.standing import standing_in
from appliance.authority.fold.state import State
from appliance.evidence.credentials import is_his
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
    identity, policy = read_actor(state, by), policy_in_force(state)
    if not may_still_act(policy, identity, act, standing_in(state, policy)):
        raise NotEntitled(f"{identity} could not do that under the policy and the locks in force")


def read_actor(state: State, by: object) -> Identity:
    """Return who acted, as an entry has it. An API credential must have been made for him.

    That it was revoked a moment before is no matter: acts only ask or take away, and the web tier, which is a
    second behind the ledger, lets them pass.

    Raises:
        NotEntitled, and whatever malformed data raise.
    """
    identity = Identity.from_data(by)
    if not is_his(state, identity):
        raise NotEntitled(f"{identity} shows a credential that is not his")
    return identity


def policy_in_force(state: State) -> Policy:
    """Return the policy in force.

    Raises:
        NotEntitled: there is none, so nobody can do anything.
    """
    if state.applied is None:
        raise NotEntitled("no policy was in force")
    return state.applied.policy
