"""Orders, verified again: by operators of the policy of that moment, over what was carried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from appliance.authority.fold.standing import standing_in
from appliance.authority.fold.state import State
from appliance.authority.orders import OrderBody, OrderContext, verify_orders
from appliance.evidence.keys import PHASE_KINDS, BadOrder, check_key_order
from appliance.policy.check import check_policy
from appliance.policy.document import Policy, PolicyFile, parse_policy
from audit.entry import Entry

# What stands in a log before anything was issued or started; orders of policy 0 are good only in there.
FOUNDING: Final = frozenset(
    {"log.opened", "policy.file", "policy.applied", "ca.created", "ca.trusted", "ca.signing"}
)
_VERBS: Final[Mapping[str, str]] = {
    "policy.applied": "policy.apply",
    "host.registered": "host.add",
    "host.removed": "host.remove",
    "credential.created": "credential.create",
    "lock.lifted": "lock.lift",
    "leave.cancelled": "leave.cancel",
}


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
        if entry.kind in PHASE_KINDS:
            check_key_order(entry.kind, data, command)
        elif command.get("verb") != _VERBS.get(entry.kind):
            raise BadOrder(f"{entry.kind} rests on the order {command.get('verb')!r}")
        else:
            _check_carried_out(entry.kind, data, command)
        # The entries of one order follow each other: a key is created, trusted and signing at once.
        same = order | {"public_key": data.get("public_key")}
        again = entry.kind in PHASE_KINDS and self._last == (entry.seq - 1, same)
        self._last = (entry.seq, same)
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
            standing=standing_in(state, policy),
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


def _orders(entry: Entry) -> list[Mapping[str, Any]]:
    orders: Any = entry.data["orders"]
    return list(orders)


def _check_carried_out(kind: str, data: Mapping[str, Any], command: Mapping[str, Any]) -> None:
    """Check that what was recorded is what was ordered."""
    recorded = {name: value for name, value in data.items() if name not in {"command", "orders"}}
    if kind == "policy.applied":
        ordered: object = command["files"]
        done: object = [{"name": file["name"], "sha256": file["sha256"]} for file in data["files"]]
    else:
        ordered = {name: value for name, value in command.items() if name != "verb"}
        done = recorded
    if ordered != done:
        raise BadOrder(f"{kind} is not what its order says")
