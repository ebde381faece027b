"""Orders, verified again: by operators of the policy of that moment, over what was carried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from appliance.authority.commands import CreateCa
from appliance.authority.orders import OrderBody, OrderContext, verify_orders
from appliance.authority.state import State
from appliance.errors import ChanceryError
from appliance.policy.check import check_policy
from appliance.policy.document import Policy, PolicyFile, parse_policy
from appliance.ssh.keys import PublicKey, fingerprint, from_cryptography, parse_public_key_line
from audit.entry import Entry
from audit.note import parse_vkey

# What stands in a log before anything was issued or started; orders of policy 0 are good only in there.
FOUNDING: Final = frozenset(
    {"log.opened", "policy.file", "policy.applied", "ca.created", "ca.trusted", "ca.signing"}
)
_VERBS: Final[Mapping[str, str]] = {
    "policy.applied": "policy.apply",
    "ca.created": "ca.create",
    "ca.trusted": "ca.create",
    "ca.signing": "ca.create",
    "host.registered": "host.add",
    "host.removed": "host.remove",
    "credential.created": "credential.create",
    "lock.lifted": "lock.lift",
    "leave.cancelled": "leave.cancel",
}
# How the token's public keys tell which algorithm was ordered.
_KEY_TYPES: Final[Mapping[str, str]] = {
    "ecdsa-p256": "ecdsa-sha2-nistp256",
    "ecdsa-p384": "ecdsa-sha2-nistp384",
    "ecdsa-p521": "ecdsa-sha2-nistp521",
    "ed25519": "ssh-ed25519",
    "rsa-3072": "ssh-rsa",
    "rsa-4096": "ssh-rsa",
}


class BadOrder(ChanceryError):
    """An entry that rests on an order which nobody with the power to give it gave, or which says another."""


class SharedKey(ChanceryError):
    """A key that serves two purposes."""


class OrderChecks:
    """Verifies the orders of a log, entry by entry."""

    def __init__(self) -> None:
        self._founding = True
        self._last: tuple[int, Mapping[str, Any]] | None = None

    def check(self, state: State, entry: Entry) -> int:
        """Check an entry on the state before it; return how many signatures were verified.

        Raises:
            BadOrder, Refusal: the order does not hold.
        """
        if entry.kind not in FOUNDING:
            self._founding = False
        if "orders" not in entry.data:
            return 0
        data: Mapping[str, Any] = entry.data
        command, order = data["command"], {"command": data["command"], "orders": data["orders"]}
        if command.get("verb") != _VERBS.get(entry.kind):
            raise BadOrder(f"{entry.kind} rests on the order {command.get('verb')!r}")
        _check_carried_out(entry.kind, data, command)
        # The entries of one order follow each other: a key is created, trusted and signing at once.
        again = self._last == (entry.seq - 1, order)
        self._last = (entry.seq, order)
        if again:
            return 0
        bodies = [OrderBody.model_validate(each) for each in data["orders"]]
        return len(verify_orders(command, bodies, self._context(state, entry)))

    def _context(self, state: State, entry: Entry) -> OrderContext:
        applied = state.applied
        by_first_policy = self._founding and all(order["policy"] == 0 for order in _orders(entry))
        if by_first_policy:
            policy = parse_pending(state, entry) if applied is None else applied.policy
            seq = 0
        elif applied is None:
            raise BadOrder("no policy was in force")
        else:
            policy, seq = applied.policy, applied.seq
        return OrderContext(
            origin=state.origin,
            policy=policy,
            policy_seq=seq,
            spent=state.spent_orders,
            now_s=entry.time_ms // 1000,
        )


def parse_pending(state: State, entry: Entry) -> Policy:
    """Return the policy that ``policy.applied`` is about to apply."""
    files: Any = entry.data.get("files")
    if not isinstance(files, list):
        raise BadOrder("no policy was in force")
    texts = [PolicyFile(name=file["name"], text=state.pending_text(file)) for file in files]
    policy = parse_policy(texts)
    check_policy(policy)
    return policy


def check_new_key(state: State, entry: Entry) -> None:
    """Check that a CA's new key is nobody else's.

    Raises:
        SharedKey: another purpose has it.
    """
    key = parse_public_key_line(str(entry.data["public_key"]))
    others: list[tuple[str, PublicKey]] = [
        (ca.name, each.public_key)
        for ca in state.cas.values()
        for each in ca.keys
        if ca.name != entry.data["name"]
    ]
    others.append(("the ledger", from_cryptography(parse_vkey(state.ledger_key).public_key)))
    others += [
        (purpose, parse_public_key_line(line))
        for purpose, line in (("bundle", state.bundle_key), ("probe", state.probe_key))
    ]
    for name, other in others:
        if other == key:
            raise SharedKey(f"the key {fingerprint(key)} is that of {name} too")


def _orders(entry: Entry) -> list[Mapping[str, Any]]:
    orders: Any = entry.data["orders"]
    return list(orders)


def _check_carried_out(kind: str, data: Mapping[str, Any], command: Mapping[str, Any]) -> None:
    """Check that what was recorded is what was ordered."""
    recorded = {name: value for name, value in data.items() if name not in {"command", "orders"}}
    if kind == "policy.applied":
        ordered: object = command["files"]
        done: object = [{"name": file["name"], "sha256": file["sha256"]} for file in data["files"]]
    elif kind.startswith("ca."):
        phases = CreateCa.PHASES.get(command["phase"], ())
        key_type = parse_public_key_line(data["public_key"]).type
        ordered = (command["name"], command["type"], command.get("customer"), True, True)
        fits = _KEY_TYPES.get(command["algorithm"]) == key_type
        done = (data["name"], data["type"], data.get("customer"), kind.removeprefix("ca.") in phases, fits)
    else:
        ordered = {name: value for name, value in command.items() if name != "verb"}
        done = recorded
    if ordered != done:
        raise BadOrder(f"{kind} is not what its order says")
