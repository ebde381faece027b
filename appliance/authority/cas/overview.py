"""The keys of all CAs for whoever is in the middle of a rotation: phases, what is live, what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from appliance.authority.cas.rotation import Live, count_live, next_step, trust_wait_s
from appliance.authority.fold.records import Ca, IssuedCertificate
from appliance.authority.fold.state import State
from appliance.authority.writer import At


@dataclass(frozen=True, slots=True, kw_only=True)
class CasView:
    """What the overview is made of, taken at one moment: to be gone through while the writer goes on."""

    cas: tuple[Ca, ...]
    certificates: tuple[IssuedCertificate, ...]
    wait_s: int
    now_s: int
    size: int


def view_cas(state: State, at: At) -> CasView:
    """Take it from the state: only references are copied, which takes less than going through them."""
    return CasView(
        cas=tuple(state.cas.values()),
        certificates=tuple(state.certificates.values()),
        wait_s=trust_wait_s(state),
        now_s=at.time_s,
        size=at.tree.size,
    )


def describe_cas(view: CasView) -> dict[str, Any]:
    """Return every key on record, and the size of the ledger that this is of."""
    return {"cas": list(_describe_keys(view)), "ledger_size": view.size}


def _describe_keys(view: CasView) -> Iterator[dict[str, Any]]:
    live = count_live(view.certificates, view.now_s)
    for ca in view.cas:
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
                "next": next_step(ca, key, found, view.now_s, view.wait_s),
            }
