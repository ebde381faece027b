"""The fold: what entries leave behind, and what they cannot undo."""

from __future__ import annotations

from appliance.authority.fold.state import State
from audit.ledger import Ledger
from audit.stores.memory import MemoryStore
from support.authority import NOW_MS, seed_entries


def test_key_that_was_halted_stays_so_in_every_later_phase() -> None:
    state, entries = State(), list(seed_entries())
    with Ledger.create(MemoryStore()).batch(NOW_MS) as batch:
        for kind, data in entries:
            state.apply(batch.append(kind, data))
        (ca,) = (ca for ca in state.cas.values() if ca.type == "user")
        (key,) = ca.keys
        halted = {"name": ca.name, "ca_key": key.fingerprint, "intent": 3, "reason": "bad signature"}
        state.apply(batch.append("ca.halted", halted))
        phase = next(data for kind, data in entries if kind == "ca.signing" and data["name"] == ca.name)
        state.apply(batch.append("ca.signing", phase))
    assert [(each.phase, each.halted) for each in state.cas[ca.name].keys] == [("signing", True)]
