"""What the entries that cut off leave in the state: revocations and locks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from appliance.policy.locks import Lock, Target
from appliance.ssh.serials import Range
from audit.entry import Entry

if TYPE_CHECKING:
    from appliance.authority.fold.state import State


def revoke(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
    """Fold ``certificate.revoked``: by key, by a range of serials, or by serial."""
    if "key" in data:
        state.revoked.add_key(data["key"], entry.seq)
    elif "range" in data:
        _revoke_range(state, entry, data["ca_key"], data["range"])
    elif (known := state.find_certificate(int(data["serial"]))) is not None:
        state.revoked.add(known.ca_key, known.seq)
        # Of several entries about one certificate the first one counts.
        seq = known.revoked_seq or entry.seq
        state.certificates[known.seq] = replace(known, revoked=True, revoked_seq=seq)


def _revoke_range(state: State, entry: Entry, ca_key: str, data: Mapping[str, Any]) -> None:
    serials = Range(int(data["first"]), int(data["last"]))
    state.revoked.add_range(ca_key, serials)
    for known in list(state.certificates.values()):
        if known.ca_key == ca_key and serials.first <= state.serial(known.seq) <= serials.last:
            seq = known.revoked_seq or entry.seq
            state.certificates[known.seq] = replace(known, revoked=True, revoked_seq=seq)


def place_lock(state: State, entry: Entry, data: Mapping[str, Any]) -> None:
    """Fold ``lock.placed``."""
    target = Target(data["kind"], data["name"])
    state.locks.place(Lock(seq=entry.seq, target=target, accounts=tuple(data.get("accounts", ()))))
    if target.kind == "key":  # also keys with which nothing was certified
        state.revoked.changes += 1


def lift_lock(state: State, _entry: Entry, data: Mapping[str, Any]) -> None:
    """Fold ``lock.lifted``."""
    state.locks.lift(data["lock"])
    state.revoked.changes += 1
