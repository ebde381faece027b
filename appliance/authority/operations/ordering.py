"""The operation that carries out what operators ordered and signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from appliance.authority.cutting.leaving import cancel_leave
from appliance.authority.cutting.locking import lift_lock
from appliance.authority.operations.callers import find_caller
from appliance.authority.operations.parts import Parts, Table
from appliance.authority.ordering.administration import (
    Answer,
    add_host,
    create_credential,
    prepare_policy,
    remove_host,
)
from appliance.authority.ordering.commands import (
    AddHost,
    ApplyPolicy,
    CancelLeave,
    CaStep,
    CommandBody,
    CreateCa,
    CreateCredential,
    LiftLock,
    PromoteCa,
    RemoveHost,
    RetireCa,
    RotateCa,
    TrustCa,
)
from appliance.authority.orders import MAX_ORDERS, OrderBody
from appliance.authority.transport.server import Peer, Reply
from appliance.authority.writer import Command
from appliance.errors import Refusal, malformed
from appliance.policy.document import PolicyFile
from appliance.requests import check_body
from audit.entry import Entry

_MODELS: Final[Mapping[str, type[CommandBody]]] = {
    "policy.apply": ApplyPolicy,
    "ca.create": CreateCa,
    "ca.rotate": RotateCa,
    "ca.trust": TrustCa,
    "ca.promote": PromoteCa,
    "ca.retire": RetireCa,
    "host.add": AddHost,
    "host.remove": RemoveHost,
    "credential.create": CreateCredential,
    "lock.lift": LiftLock,
    "leave.cancel": CancelLeave,
}


class Ordering:
    """What rests on operators' signatures."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def table(self) -> Table:
        """Return the operations by their names."""
        return {
            "order": self._order,
        }

    def _order(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Carry out what operators ordered."""
        command = _parse_command(args.get("command"))
        orders = _parse_orders(args.get("orders"))
        # Who brings them does not matter to orders, and signatures are verified on the writer's thread.
        self._parts.rates.charge(find_caller(self._parts, peer, args))

        def answer(outcome: Sequence[Entry] | Refusal) -> None:
            reply(
                outcome
                if isinstance(outcome, Refusal)
                else {"entries": [{"seq": entry.seq, "kind": entry.kind} for entry in outcome]}
            )

        match command:
            case CreateCa() | RotateCa():
                self._parts.ceremony.make_key(command, orders, answer)
            case CaStep():
                self._parts.ceremony.take_step(command, orders, answer)
            case ApplyPolicy():
                now_s = self._parts.now_ms() // 1000
                prepare = partial(prepare_policy, command, _parse_files(args.get("files")), now_s=now_s)
                self._parts.policies.submit(command, orders, prepare, answer)
            case _:
                self._parts.writer.submit(_build(command, orders, answer))


def _build(command: CommandBody, orders: Sequence[OrderBody], answer: Answer) -> Command:
    match command:
        case AddHost():
            return add_host(command, orders, answer)
        case RemoveHost():
            return remove_host(command, orders, answer)
        case CreateCredential():
            return create_credential(command, orders, answer)
        case LiftLock():
            return lift_lock(command, orders, answer)
        case CancelLeave():
            return cancel_leave(command, orders, answer)
    raise malformed("command.verb", f"{command.verb} is not carried out here")


def _parse_command(data: object) -> CommandBody:
    if not isinstance(data, dict):
        raise malformed("command", "expected an object")
    model = _MODELS.get(str(data.get("verb"))[:100])
    if model is None:
        raise malformed("command.verb", f"expected one of {', '.join(_MODELS)}")
    return check_body(model, data)


def _parse_orders(data: object) -> list[OrderBody]:
    if not isinstance(data, list) or not 0 < len(data) <= MAX_ORDERS:
        raise malformed("orders", f"expected 1 to {MAX_ORDERS} signed orders")
    return [check_body(OrderBody, each) for each in data]


def _parse_files(data: object) -> list[PolicyFile]:
    if not isinstance(data, list) or not all(
        isinstance(file, dict) and isinstance(file.get("name"), str) and isinstance(file.get("text"), str)
        for file in data
    ):
        raise malformed("files", "expected a list of name and text")
    return [PolicyFile(name=file["name"], text=file["text"]) for file in data]
