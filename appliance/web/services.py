"""What the views work with, and the questions that they share: who is asking, and may he."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from appliance.authority.ordering.commands import CommandBody
from appliance.authority.orders import OrderBody
from appliance.authority.transport.client import DEFAULT_TIMEOUT_S, AuthorityClient
from appliance.errors import Refusal
from appliance.identity.identity import Identity
from appliance.index.queries import Index, Snapshot
from appliance.policy.locks import Lock
from appliance.policy.roles import ACT_ROLES, ALL, Customers, seen_customers
from appliance.web.logins import Logins
from appliance.web.request import current_request
from audit.tiles import TileReader

# How long a reader that names a `min_size` waits for the index to get there.
MIN_SIZE_WAIT_S: Final = 1.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a view may talk to."""

    authority: AuthorityClient
    index: Index
    tiles: TileReader
    logins: Logins
    now_ms: Callable[[], int]

    def ask(self, op: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, **args: Any) -> Any:
        """Ask the authority in the requester's name."""
        return self.authority.call(op, timeout_s=timeout_s, identity=requester().to_data(), **args)

    def order(self, command: CommandBody, orders: Sequence[OrderBody], **more: Any) -> dict[str, Any]:
        """Have an order carried out; its signatures are the authority's to verify.

        Raises:
            Refusal: the authority's.
        """
        signed = [each.model_dump() for each in orders]
        done: dict[str, Any] = self.ask("order", command=command.to_command(), orders=signed, **more)
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

    def await_published(self, min_size: int | None) -> None:
        """Wait for a published checkpoint to cover what the requester has seen elsewhere.

        Raises:
            Refusal: ``ledger-unavailable``; none does, in time.
        """
        if min_size is None:
            return
        end = time.monotonic() + MIN_SIZE_WAIT_S
        while (published := self.tiles.size()) < min_size:
            if time.monotonic() > end:
                raise Refusal(
                    "ledger-unavailable",
                    f"the newest checkpoint covers {published} entries, not yet {min_size}",
                    ledger_size=published,
                    retry_after_s=1,
                )
            time.sleep(_POLL_S)


def requester() -> Identity:
    """Return who is asking.

    Raises:
        Refusal: ``unauthenticated``; nobody is.
    """
    identity = current_request().identity
    if identity is None:
        raise Refusal("unauthenticated", "show a client certificate or `Authorization: Bearer …`")
    return identity


def lock_on_requester(snapshot: Snapshot) -> Lock | None:
    """Return the lock that is on the requester, be it by a person, a group or an account."""
    policy, identity, locks = snapshot.policy(), requester(), snapshot.locks()
    if policy is None or not locks.in_force:
        return None
    return locks.find(locks.targets_of(policy, str(identity), identity.groups))


def may(snapshot: Snapshot, act: str) -> bool:
    """Say whether the policy in force lets the requester do ``act``, whoever's it is."""
    return seen(snapshot, act) is ALL


def seen(snapshot: Snapshot, act: str) -> Customers:
    """Return the customers whose records ``act`` shows to the requester; to who is locked, nobody's."""
    policy = snapshot.policy()
    customers = frozenset() if policy is None else seen_customers(policy, requester(), act)
    return customers if customers == frozenset() or not lock_on_requester(snapshot) else frozenset()


def require_sight(snapshot: Snapshot, act: str) -> Customers:
    """Return the customers whose records ``act`` shows to the requester, who must see some.

    Raises:
        Refusal: ``policy-denied``.
    """
    customers = seen(snapshot, act)
    if customers == frozenset():
        require(snapshot, act)
    return customers


def require(snapshot: Snapshot, act: str) -> None:
    """Refuse the request unless the requester may do ``act``.

    Raises:
        Refusal: ``policy-denied``.
    """
    if not may(snapshot, act):
        if lock := lock_on_requester(snapshot):
            raise Refusal(
                "policy-denied",
                f"the {lock.target.kind} {lock.target.name} is locked (entry {lock.seq})",
                rule="lock",
            )
        roles = " or ".join(sorted(ACT_ROLES[act]))
        of_all = " for all customers" if seen(snapshot, act) else ""
        raise Refusal("policy-denied", f"{requester()} has not the role {roles}{of_all}", rule=act)
