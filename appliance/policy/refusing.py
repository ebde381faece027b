"""What a denial says to its caller, as far as his own grants go: what none gives, and what they do give."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from appliance.identity.identity import Identity
from appliance.policy.document import FiledGrant, Policy
from appliance.policy.terms import Settling
from appliance.requests import UserRequest

MAX_ALLOWED: Final = 20


def list_allowed(policy: Policy, places: Sequence[int], settling: Settling) -> tuple[str, ...]:
    """Return the logins on host groups that these grants give at the time that was asked for, sorted.

    What a grant requires beside that can be met by asking again; a grant that is shut gives nothing.
    """
    # As many grants as principals are shown: each gives one at least.
    held = [policy.grants[place] for place in places[:MAX_ALLOWED]]
    grants = [filed.grant for filed in held if not settling.is_shut(filed)]
    principals = (f"{login}@{name}" for grant in grants for name in grant.on for login in grant.logins)
    return tuple(sorted(islice(dict.fromkeys(principals), MAX_ALLOWED)))


def say_missing(policy: Policy, identity: Identity, request: UserRequest, missing: str | None) -> str:
    """Say which of what a request names no grant gives; ``missing`` is a place or login, if it is one."""
    places = policy.holders.held_by(identity)
    grants = "no grant of yours"
    if request.grant is not None:
        places = policy.holders.held_named(identity, request.grant)
        if not places:
            return f"{grants} is called {request.grant!r}"
        grants = f"{grants} called {request.grant!r}"
    if request.customer is not None:
        if not any(_is_of(policy, policy.grants[place], request.customer) for place in places):
            return f"{grants} is on hosts of the customer {request.customer!r}"
        missing = f"{missing or 'that'} of the customer {request.customer!r}"
    return f"{grants} gives {missing or 'what was asked for'}"


def _is_of(policy: Policy, filed: FiledGrant, customer: str) -> bool:
    return any(policy.host_groups[name].customer == customer for name in filed.grant.on)
