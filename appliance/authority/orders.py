"""Orders: commands that an operator has signed with an SSH key of his own.

The command is an object; its RFC 8785 bytes are hashed into a message, and the SSHSIG over that message is
the order. It names the log, the verb and the policy it was given under, and it expires: an order cannot be
given again elsewhere, later, or under another policy.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from appliance.authority.events import OrderData
from appliance.errors import Refusal
from appliance.policy.document import Policy
from appliance.policy.fields import READ_WHOLE
from appliance.policy.roles import ORDER_ROLES, may_order
from appliance.policy.tables import Operator
from appliance.ssh.errors import SshFormatError
from appliance.ssh.sshsig import verify_sshsig
from audit.entry import canonical_json

NAMESPACE: Final = "order@chancery"
# Long enough for a second operator in another time zone, short enough to be no standing permission.
MAX_VALIDITY_S: Final = 24 * 3_600
MAX_ORDERS: Final = 16


class OrderBody(BaseModel):
    """One operator's signature over a command, as a request carries it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    operator: Annotated[str, Field(min_length=1, max_length=63)]
    policy: Annotated[
        int, Field(ge=0, le=2**53 - 1, description="seq of the policy it was given under"), READ_WHOLE
    ]
    expires_s: Annotated[int, Field(ge=0, le=2**53 - 1, description="Unix seconds"), READ_WHOLE]
    signature: Annotated[str, Field(max_length=16_384, description="base64 of the SSHSIG blob")]

    def to_data(self) -> OrderData:
        """Return the order as the ledger records it."""
        return OrderData(
            operator=self.operator, policy=self.policy, expires_s=self.expires_s, signature=self.signature
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContext:
    """What orders are checked against: the log, the policy in force and its seq, orders given before."""

    origin: str
    policy: Policy
    policy_seq: int
    spent: Set[bytes]
    now_s: int


def order_message(origin: str, command: Mapping[str, object], policy_seq: int, expires_s: int) -> bytes:
    """Return the message that an order signs (ledger format, "Orders"). The command names its own verb."""
    digest = hashlib.sha256(canonical_json(command)).hexdigest()
    return f"chancery/order/v1\n{origin}\n{command['verb']}\n{digest}\n{policy_seq}\n{expires_s}\n".encode()


def spent_id(message: bytes, operator: str) -> bytes:
    """Return what is remembered of an order that was carried out, until it expires."""
    return hashlib.sha256(message + operator.encode()).digest()


def verify_orders(
    command: Mapping[str, object], orders: Sequence[OrderBody], context: OrderContext
) -> list[OrderData]:
    """Verify that operators with the power to do so have ordered this command; return what is recorded.

    Raises:
        Refusal: ``policy-denied`` or ``conflict``, with the reason.
    """
    if not 0 < len(orders) <= MAX_ORDERS:
        raise _denied(command, f"needs an operator's signed order, got {len(orders)}")
    if len({order.operator for order in orders}) != len(orders):
        raise _denied(command, "has two orders by one operator")
    for order in orders:
        _verify_order(command, order, context)
    if len(orders) < _orders_needed(command, context):
        raise _denied(
            command,
            "needs orders by two different operators, the policy says: one signs with --sign-only FILE, the "
            "other gives the order with `chancery order give FILE`",
        )
    return [order.to_data() for order in sorted(orders, key=lambda order: order.operator.encode())]


def _orders_needed(command: Mapping[str, object], context: OrderContext) -> int:
    """Return how many operators must have ordered this.

    What founds a log is ordered by the one who founds it: nobody else is known yet, and nothing is issued.
    """
    founding = context.policy_seq == 0
    return 2 if not founding and command["verb"] in context.policy.two_operators else 1


def _verify_order(command: Mapping[str, object], order: OrderBody, context: OrderContext) -> None:
    operator = _find_operator(command, order, context)
    if order.policy != context.policy_seq:
        raise Refusal(
            "conflict",
            f"the order is for policy {order.policy}, in force is {context.policy_seq}: sign it again",
            policy=context.policy_seq,
        )
    if not context.now_s < order.expires_s <= context.now_s + MAX_VALIDITY_S:
        raise _denied(
            command, f"has an order that has expired, or lasts more than {MAX_VALIDITY_S // 3600} h"
        )
    message = order_message(context.origin, command, order.policy, order.expires_s)
    if spent_id(message, order.operator) in context.spent:
        raise Refusal("conflict", "this order was carried out before: sign a new one")
    _verify_signature(command, order, operator, message)


def _find_operator(command: Mapping[str, object], order: OrderBody, context: OrderContext) -> Operator:
    operator = context.policy.operators.get(order.operator)
    if operator is None:
        raise _denied(command, f"has an order by {order.operator!r}: the policy names no such operator")
    if not may_order(operator, str(command["verb"])):
        roles = " or ".join(sorted(ORDER_ROLES.get(str(command["verb"]), ())))
        raise _denied(
            command, f"needs an order by an operator with the role {roles}: {operator.name} has it not"
        )
    return operator


def _verify_signature(
    command: Mapping[str, object], order: OrderBody, operator: Operator, message: bytes
) -> None:
    try:
        blob = base64.b64decode(order.signature, validate=True)
        verify_sshsig(blob, namespace=NAMESPACE, message=message, allowed_keys=operator.keys)
    except (binascii.Error, SshFormatError) as error:
        raise _denied(
            command, f"has an order whose signature is not one of {order.operator}'s keys over this command"
        ) from error


def _denied(command: Mapping[str, object], what: str) -> Refusal:
    verb = command["verb"]
    return Refusal("policy-denied", f"{verb} {what}", rule=f"order {verb}")
