"""Whether anything is known of a name that is locked: a lock on a name that is misspelt stops nobody."""

from __future__ import annotations

from typing import Final

from appliance.index.queries import Index, IndexUnavailable, Snapshot
from appliance.policy.document import Policy

_API: Final = "api:"
# A lock on anything else is refused if there is no such thing.
_UNCHECKED: Final = frozenset({"identity", "service", "group"})


def warn_of_unknown(index: Index, kind: str, name: str) -> dict[str, str]:
    """Return a warning, or nothing: providers have people who never asked for anything, so it is no error."""
    if kind not in _UNCHECKED or ":" not in name:
        return {}
    try:
        with index.snapshot() as snapshot:
            if _is_known(snapshot, kind, name):
                return {}
    except IndexUnavailable:
        return {}
    what = "the policy has nothing" if kind == "group" else "neither policy nor ledger has anything"
    return {"warning": f"{what} of the name {name}: see that it is spelled right; the lock is in force"}


def _is_known(snapshot: Snapshot, kind: str, name: str) -> bool:
    policy = snapshot.policy() or Policy()
    if kind == "group":
        return any(name in filed.grant.who.groups for filed in policy.grants)
    return name in _named_identities(policy) or _is_on_record(snapshot, name)


def _named_identities(policy: Policy) -> set[str]:
    found = {name for group in policy.groups.values() for name in group.members}
    found |= {name for person in policy.persons.values() for name in person.identities}
    found |= {name for operator in policy.operators.values() for name in operator.identities}
    for filed in policy.grants:
        found |= {*filed.grant.who.users, *filed.grant.who.services, *filed.grant.delegates}
    return found


def _is_on_record(snapshot: Snapshot, name: str) -> bool:
    if snapshot.value("SELECT 1 FROM certificate WHERE subject = ? LIMIT 1", name) is not None:
        return True
    of = name.removeprefix(_API) if name.startswith(_API) else None
    return (
        of is not None
        and snapshot.value("SELECT 1 FROM credential WHERE subject = ? LIMIT 1", of) is not None
    )
