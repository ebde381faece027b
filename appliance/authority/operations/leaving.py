"""Operations that book leave, and say which leave a feed shows no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from appliance.authority.cutting.leaving import Booked, BookLeave, LeaveBody, WithdrawLeave
from appliance.authority.operations.callers import find_caller
from appliance.authority.operations.cutting import tell_seq
from appliance.authority.operations.parts import Parts, Table
from appliance.authority.operations.reading import MAX_SEQ
from appliance.authority.transport.server import Peer, Reply
from appliance.errors import Refusal, malformed
from appliance.requests import check_body

# Of the serials that a leave has revoked, a reply names the first; the ledger has all.
MAX_NAMED: Final = 100


class Leaving:
    """What is done about leave without an order."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def table(self) -> Table:
        """Return the operations by their names."""
        return {
            "leave.book": self._book,
            "leave.withdraw": self._withdraw,
        }

    def _book(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        body = check_body(LeaveBody, args.get("body"))

        def answer(outcome: Booked | Refusal) -> None:
            reply(outcome if isinstance(outcome, Refusal) else _tell(outcome))

        identity = find_caller(self._parts, peer, args)
        # Anyone may book for himself, and each booking is an entry: no more of them than of certificates.
        self._parts.rates.charge(identity)
        self._parts.writer.submit(BookLeave(identity, body, answer))

    def _withdraw(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        seq = args.get("leave")
        if type(seq) is not int or not 0 <= seq <= MAX_SEQ:
            raise malformed("leave", "expected the seq of the entry that booked it")
        self._parts.writer.submit(WithdrawLeave(find_caller(self._parts, peer, args), seq, tell_seq(reply)))


def _tell(booked: Booked) -> dict[str, Any]:
    leave = booked.leave
    return {
        "seq": leave.seq,
        "person": leave.person,
        "starts_s": leave.starts_s,
        "ends_s": leave.ends_s,
        "already": booked.already,
        "revoked": list(booked.revoked[:MAX_NAMED]),
        "revoked_count": len(booked.revoked),
    }
