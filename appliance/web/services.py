"""What the views work with, and the questions that they share: who is asking, and may he."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from appliance.authority.client import DEFAULT_TIMEOUT_S, AuthorityClient
from appliance.errors import Refusal, malformed
from appliance.identity.identity import Identity
from appliance.index.queries import Index, Snapshot
from appliance.policy.roles import ACT_ROLES, may_act
from appliance.web.jsonbody import current_request
from appliance.web.models import OrderRequest
from audit.tiles import TileReader

# How long a reader that names a `min_size` waits for the index to get there.
MIN_SIZE_WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a view may talk to."""

    authority: AuthorityClient
    index: Index
    tiles: TileReader
    now_ms: Callable[[], int]

    def ask(self, op: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, **args: Any) -> Any:
        """Ask the authority in the requester's name."""
        return self.authority.call(op, timeout_s=timeout_s, identity=requester().to_data(), **args)

    def order(self, body: OrderRequest, *, verb: str) -> dict[str, Any]:
        """Have an order of one verb carried out; its signatures are the authority's to verify.

        Raises:
            Refusal: ``malformed-request``, it is of another verb; and all of the authority's.
        """
        if body.command.get("verb") != verb:
            raise malformed("command.verb", f"expected {verb} here")
        orders = [each.model_dump() for each in body.orders]
        done: dict[str, Any] = self.ask("order", command=body.command, orders=orders)
        return done

    def await_size(self, min_size: int | None) -> None:
        """Wait for the index to cover what the requester has seen elsewhere.

        Raises:
            Refusal: ``ledger-unavailable``; it does not, in time.
        """
        if min_size is None:
            return
        covered = self.index.wait_for(min_size, MIN_SIZE_WAIT_S)
        if covered < min_size:
            raise Refusal(
                "ledger-unavailable",
                f"the index covers {covered} entries, not yet {min_size}",
                ledger_size=covered,
                retry_after_s=1,
            )


def requester() -> Identity:
    """Return who is asking.

    Raises:
        Refusal: ``unauthenticated``; nobody is.
    """
    identity = current_request().identity
    if identity is None:
        raise Refusal("unauthenticated", "show a client certificate or `Authorization: Bearer …`")
    return identity


def may(snapshot: Snapshot, act: str) -> bool:
    """Say whether the policy in force lets the requester do ``act``."""
    policy = snapshot.policy()
    return policy is not None and may_act(policy, requester(), act)


def require(snapshot: Snapshot, act: str) -> None:
    """Refuse the request unless the requester may do ``act``.

    Raises:
        Refusal: ``policy-denied``.
    """
    if not may(snapshot, act):
        roles = " or ".join(sorted(ACT_ROLES[act]))
        raise Refusal("policy-denied", f"{requester()} has not the role {roles}", rule=act)
