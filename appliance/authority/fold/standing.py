"""Who and what is cut off, as the state has it: persons, keys, and what rests on them. Pure."""

from __future__ import annotations

from functools import partial
from itertools import chain

from appliance.authority.fold.approvals import Given
from appliance.authority.fold.state import State
from appliance.policy.document import Policy
from appliance.policy.locks import Target
from appliance.policy.powers import Standing
from appliance.ssh.keys import fingerprint


def standing_in(state: State, policy: Policy) -> Standing:
    """Return what is cut off now, for whoever judges by a policy."""
    return Standing(locked=partial(is_person_locked, state, policy), barred=partial(is_key_barred, state))


def is_person_locked(state: State, policy: Policy, person: str) -> bool:
    """Say whether a person of the policy, or any account of his, is locked."""
    if not state.locks.in_force:
        return False
    known = policy.persons.get(person)
    accounts = (person,) if known is None else known.identities
    targets = chain.from_iterable(state.locks.targets_of(policy, name, ()) for name in accounts)
    return state.locks.find(chain([Target("person", person)], targets)) is not None


def is_key_barred(state: State, key: str) -> bool:
    """Say whether a key, by its fingerprint, is locked or revoked."""
    return state.locks.find([Target("key", key)]) is not None or key in state.revoked.keys


def counts(state: State, policy: Policy, given: Given) -> bool:
    """Say whether an approval that somebody has given counts now: he and the key are his, and not cut off."""
    person = policy.persons.get(given.person)
    return (
        person is not None
        and given.key in map(fingerprint, person.keys)
        and not is_key_barred(state, given.key)
        and not is_person_locked(state, policy, given.person)
    )
