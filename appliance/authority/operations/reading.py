"""Operations that read: the ledger, the state, the token's answer to a probe."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from appliance.authority.cas.overview import CasView, describe_cas, view_cas
from appliance.authority.fold.state import State
from appliance.authority.operations.callers import find_caller
from appliance.authority.operations.parts import Parts, Table
from appliance.authority.publishing.bundle import FRESH_S, HostView, view_host
from appliance.authority.publishing.krl import MadeKrl
from appliance.authority.transport.server import Peer, Reply
from appliance.authority.writer import At, ReadState
from appliance.errors import Refusal, malformed

MAX_ENTRIES: Final = 2_000
MAX_ENTRIES_BYTES: Final = 4 * 1_048_576
# Of one reply, which has to fit a frame: more than three million serials far from each other.
MAX_KRL: Final = 28 * 1_048_576
MAX_WAIT_S: Final = 30.0
MAX_SEQ: Final = 2**53 - 1


class Reading:
    """What changes nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reading = threading.Lock()

    def table(self) -> Table:
        """Return the operations by their names."""
        return {
            "host.sshd": self._host_sshd,
            "krl": self._krl,
            "context": self._context,
            "entries": self._entries,
            "status": self._status,
            "cas": self._cas,
            "probe": self._probe,
        }

    def _host_sshd(self, peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Give all that a host's sshd needs, signed with the bundle key."""
        identity, name, min_size = (
            find_caller(self._parts, peer, args),
            args.get("name"),
            args.get("min_size", 0),
        )
        if not isinstance(name, str) or type(min_size) is not int:
            raise malformed("name", "expected the name of a host, and a size of the ledger")

        def read(state: State, at: At) -> HostView:
            return view_host(state, identity, name, at.time_s)

        def answer(found: object) -> None:
            if not isinstance(found, HostView):
                reply(found)
                return
            try:
                self._parts.bundle(found, min(min_size, found.size), reply)
            except Refusal as refusal:
                reply(refusal)

        self._parts.writer.submit(ReadState(read, answer))

    def _krl(self, _peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Give a CA's KRL and its signed statement, to anyone; not the KRL itself to who ``has`` it."""
        name, has = args.get("ca"), args.get("has")
        if not isinstance(name, str):
            raise malformed("ca", "expected the name of a CA")
        lister = self._parts.lister

        def read(state: State, at: At) -> MadeKrl | None:
            return lister.find(state, name, at.time_s)

        def give(made: MadeKrl | Refusal) -> None:
            reply(made if isinstance(made, Refusal) else _render_krl(made, has))

        def answer(found: object) -> None:
            try:
                if found is None:
                    lister.submit(name, give)
                else:
                    reply(_render_krl(found, has) if isinstance(found, MadeKrl) else found)
            except Refusal as refusal:
                reply(refusal)

        self._parts.writer.submit(ReadState(read, answer))

    def _context(self, _peer: Peer, _args: Mapping[str, Any], reply: Reply) -> None:
        """Tell what an order has to name: the log and the policy in force. None of it is secret."""
        self._parts.writer.submit(ReadState(_context, reply))

    def _entries(self, _peer: Peer, args: Mapping[str, Any], reply: Reply) -> None:
        """Give entries from ``start`` on; wait ``wait_s`` for the first. Holds up its own connection only."""
        start, wait_s = args.get("start"), args.get("wait_s")
        if type(start) is not int or not 0 <= start <= MAX_SEQ:
            raise malformed("start", "expected the seq of the first entry")
        if not isinstance(wait_s, int | float) or not 0 <= wait_s <= MAX_WAIT_S:  # nor NaN
            raise malformed("wait_s", f"expected 0 to {MAX_WAIT_S:.0f} seconds")
        size = self._parts.writer.wait_beyond(start, float(wait_s))
        checkpoint = self._parts.last_checkpoint()
        entries: list[bytes] = []
        room = MAX_ENTRIES_BYTES
        with self._reading:
            for raw in self._parts.reader.entries(start, min(size, start + MAX_ENTRIES)):
                entries.append(raw)
                room -= len(raw)
                if room <= 0:
                    break
        reply({"entries": entries, "size": size, "checkpoint": checkpoint})

    def _status(self, _peer: Peer, _args: Mapping[str, Any], reply: Reply) -> None:
        self._parts.writer.submit(ReadState(self._parts.status, reply))

    def _cas(self, peer: Peer, _args: Mapping[str, Any], reply: Reply) -> None:
        """Tell all of the CAs' keys. For who stands at the machine: it goes through every certificate."""
        if not peer.local:
            raise Refusal("not-found", "the authority tells this on its admin socket only")

        def answer(found: object) -> None:
            if not isinstance(found, CasView):
                reply(found)
                return
            threading.Thread(target=lambda: reply(describe_cas(found)), name="overview", daemon=True).start()

        self._parts.writer.submit(ReadState(view_cas, answer))

    def _probe(self, _peer: Peer, _args: Mapping[str, Any], reply: Reply) -> None:
        self._parts.probe(reply)


def _render_krl(made: MadeKrl, has: object) -> dict[str, Any] | Refusal:
    if len(made.krl) > MAX_KRL:
        return Refusal("too-large", f"the KRL has {len(made.krl)} bytes, more than can be handed over")
    told: dict[str, Any] = {
        "sha256": made.sha256,
        "ca_key": made.ca_key,
        "statement": made.statement,
        "size": made.size,
        "version": made.version,
        "generated_s": made.generated_s,
        "fresh_until_s": made.generated_s + FRESH_S,
    }
    told |= {} if made.signature is None else {"signature": made.signature}
    return told if has == made.sha256 else told | {"krl": made.krl}


def _context(state: State, at: At) -> dict[str, Any]:
    policy_seq = 0 if state.applied is None else state.applied.seq
    return {"origin": state.origin, "policy": policy_seq, "now_s": at.time_s}
