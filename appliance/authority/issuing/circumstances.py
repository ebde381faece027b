"""What the state holds about who asks, as a decision takes it. Pure."""

from __future__ import annotations

from dataclasses import replace

from appliance.authority.cutting.locks import is_person_locked
from appliance.authority.fold.leaves import merge
from appliance.authority.fold.records import AppliedPolicy
from appliance.authority.fold.state import State
from appliance.identity.identity import Identity
from appliance.policy.circumstances import Circumstances


def find_circumstances(
    state: State, applied: AppliedPolicy, identity: Identity, delegate: Identity | None = None
) -> Circumstances:
    """Return the circumstances of a request for this identity, be it by a delegate.

    The delegate's leave counts as the identity's own does: the keys may be his. An approval by somebody who
    is locked counts for nothing while he is.
    """
    policy, leaves = applied.policy, state.leaves.of(applied.policy, str(identity))
    if delegate is not None and (theirs := state.leaves.of(policy, str(delegate))):
        leaves = merge((*leaves, *theirs))
    approvals = tuple(
        replace(
            approval,
            given_by=frozenset(
                name for name in approval.given_by if not is_person_locked(state, policy, name)
            ),
        )
        for approval in state.approvals.of(str(identity))
    )
    return Circumstances(leaves=leaves, approvals=approvals, delegate=delegate)
