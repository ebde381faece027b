"""What the state holds about who asks, as a decision takes it. Pure."""

from __future__ import annotations

from functools import partial

from appliance.authority.fold.leaves import merge
from appliance.authority.fold.records import AppliedPolicy
from appliance.authority.fold.standing import counts
from appliance.authority.fold.state import State
from appliance.identity.identity import Identity
from appliance.policy.circumstances import Circumstances


def find_circumstances(
    state: State, applied: AppliedPolicy, identity: Identity, delegate: Identity | None = None
) -> Circumstances:
    """Return the circumstances of a request for this identity, be it by a delegate.

    The delegate's leave counts as the identity's own does: the keys may be his. An approval counts
    while the grant is the one that was approved, and who gave it could give it again with the same key.
    """
    policy, leaves = applied.policy, state.leaves.of(applied.policy, str(identity))
    if delegate is not None and (theirs := state.leaves.of(policy, str(delegate))):
        leaves = merge((*leaves, *theirs))
    asked = (each for each in state.approvals.asked_by(str(identity)) if each.stands(policy))
    found = (each.to_approval(partial(counts, state, policy)) for each in asked)
    approvals = tuple(approval for approval in found if approval is not None)
    return Circumstances(leaves=leaves, approvals=approvals, delegate=delegate)
