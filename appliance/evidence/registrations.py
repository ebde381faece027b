"""What operators order, held against what is there: it must be something that could be carried out.

An operator's good order is not enough. The authority refuses what would take another host's name, or bring a
credential back to life that was revoked; so it is nothing that a log can have.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance.authority.fold.state import State
from appliance.evidence.acts import policy_in_force
from appliance.evidence.keys import BadOrder
from audit.entry import Entry


def check_registration(state: State, entry: Entry) -> None:
    """Check what an entry of any kind puts on record by order, on the state before it.

    Raises:
        BadOrder, and whatever malformed data raise.
    """
    if (check := _CHECKS.get(entry.kind)) is not None:
        check(state, entry.data)


def _check_files(state: State, data: Mapping[str, Any]) -> None:
    """Check that the parts of each file of a policy say of themselves what they are."""
    for file in data["files"]:
        parts, count = state.pending_parts(file), len(file["seqs"])
        said = [(part["name"], part["part"], part["parts"]) for part in parts]
        if said != [(file["name"], number, count) for number in range(count)]:
            raise BadOrder(f"the parts of {file['name']} are called {said}")
        customer = tomllib.loads(state.pending_text(file)).get("customer")
        owner = customer if isinstance(customer, str) else None
        if any(part.get("customer") != owner for part in parts):
            raise BadOrder(f"{file['name']} is of another customer than its parts say")


def _check_host(state: State, data: Mapping[str, Any]) -> None:
    """Check that a customer has the host, and that no other host has a name of it."""
    if data["customer"] not in policy_in_force(state).customers:
        raise BadOrder(f"there is no customer {data['customer']}")
    names = frozenset(data["names"])
    for host in state.hosts.values():
        if host.name != data["name"] and not names.isdisjoint(host.names):
            raise BadOrder(f"{min(names & set(host.names))} is a name of the host {host.name}")


def _check_removal(state: State, data: Mapping[str, Any]) -> None:
    if data["name"] not in state.hosts:
        raise BadOrder(f"there was no host {data['name']}")


def _check_credential(state: State, data: Mapping[str, Any]) -> None:
    if data["id"] in state.credentials:
        raise BadOrder(f"the credential {data['id']} was there before")


_CHECKS: Final[Mapping[str, Callable[[State, Mapping[str, Any]], None]]] = {
    "policy.applied": _check_files,
    "host.registered": _check_host,
    "host.removed": _check_removal,
    "credential.created": _check_credential,
}
