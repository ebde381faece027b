"""What the state holds about who asks, as a decision takes it. Pure."""

from __future__ import annotations

from appliance.authority.records import AppliedPolicy
from appliance.authority.state import State
from appliance.identity.identity import Identity
from appliance.policy.circumstances import Circumstances


def find_circumstances(_state: State, _applied: AppliedPolicy, _identity: Identity) -> Circumstances:
    """Return the circumstances of a request by this identity."""
    return Circumstances()
