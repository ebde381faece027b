"""What can be asked of the authority over its sockets: from a request's plain data to a command, and back.

The web tier is believed about who asks for a certificate, and about nothing else: bodies are checked again
here, and orders are verified by their signatures. On the admin socket nobody speaks for others: there the
identity is the peer's own, ``local:<user>``, and what he may, the policy says.
"""

from __future__ import annotations

from typing import Final

from appliance.authority.operations.approving import Approving
from appliance.authority.operations.cutting import Cutting
from appliance.authority.operations.explaining import Explaining
from appliance.authority.operations.issuing import Issuing
from appliance.authority.operations.leaving import Leaving
from appliance.authority.operations.ordering import Ordering
from appliance.authority.operations.parts import Parts, Table
from appliance.authority.operations.reading import Reading
from appliance.authority.transport.protocol import Request
from appliance.authority.transport.server import Peer, Reply
from appliance.errors import Refusal

# What the index asks; it has no business with anything else.
READING: Final = frozenset({"entries", "status", "context"})
# What tells all that there is, or has the token work, without asking who it is: for root and the service.
_FOR_OWN: Final = frozenset({"entries", "status", "cas", "probe"})


class Operations:
    """The table of operations: the authority's whole surface."""

    def __init__(self, parts: Parts) -> None:
        self._readers = parts.readers
        groups = (
            Issuing(parts),
            Cutting(parts),
            Leaving(parts),
            Approving(parts),
            Ordering(parts),
            Reading(parts),
            Explaining(parts),
        )
        self._table: Table = {name: each for group in groups for name, each in group.table().items()}

    def handle(self, peer: Peer, request: Request, reply: Reply) -> None:
        """Answer one request; see :class:`appliance.authority.transport.server.Handler`."""
        operation = self._table.get(request.op)
        if operation is None or self._is_closed(peer, request.op):
            raise Refusal("not-found", f"the authority has no operation {request.op[:40]!r} for you")
        operation(peer, request.args, reply)

    def _is_closed(self, peer: Peer, op: str) -> bool:
        """Say whether an operation is none of a peer's business, whatever the policy says of him."""
        if peer.uid in self._readers:
            return op not in READING
        return not peer.own and op in _FOR_OWN
