"""The keys of all CAs for whoever is in the middle of a rotation: phases, what is live, what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from appliance.authority.rotation import Live, count_live, next_step, trust_wait_s
from appliance.authority.state import State
from appliance.authority.writer import At


def describe_cas(state: State, at: At) -> dict[str, Any]:
    """Return every key on record, and the size of the ledger that this is of."""
    return {"cas": list(_describe_keys(state, at.time_s)), "ledger_size": at.tree.size}


def _describe_keys(state: State, now_s: int) -> Iterator[dict[str, Any]]:
    live, wait_s = count_live(state, now_s), trust_wait_s(state)
    for ca in state.cas.values():
        for key in ca.keys:
            found = live.get(key.fingerprint, Live())
            yield {
                "ca": ca.name,
                "type": ca.type,
                "customer": ca.customer,
                "fingerprint": key.fingerprint,
                "phase": key.phase,
                "halted": key.halted,
                "has_signed": key.has_signed,
                "since_ms": key.since_ms,
                "live": found.count,
                "live_until_s": found.until_s,
                "next": next_step(ca, key, found, now_s, wait_s),
            }
