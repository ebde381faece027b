"""The keys of a log: what each is for, and those of a CA through their phases. Part of the fold, pure.

The phases are created, trusted by hosts, signing, retired.

No rule is enforced here: the fold takes what is on record. Which step may be taken when is said by
:mod:`~appliance.authority.cas.rotation`, in the authority before it is recorded and in an audit after it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from appliance.authority.fold.records import Ca, CaKey, Phase
from appliance.ssh.keys import fingerprint, from_cryptography, parse_public_key_line
from audit.note import parse_vkey


def keys_of_log(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the fingerprints of the keys that a ``log.opened`` names, and what each is for."""
    yield fingerprint(from_cryptography(parse_vkey(data["ledger_key"]).public_key)), "the ledger"
    for purpose in ("bundle", "probe"):
        yield fingerprint(parse_public_key_line(data[f"{purpose}_key"])), f"the {purpose}s"


def purpose_of_ca(name: str) -> str:
    """Return what the keys of a CA are for, in words."""
    return f"the CA {name}"


def enter_phase(known: Ca | None, phase: Phase, data: Mapping[str, Any], now_ms: int) -> Ca:
    """Return the CA once a key of it has entered a phase; the key that signed until then is trusted on."""
    public_key = parse_public_key_line(data["public_key"])
    keys = () if known is None else known.keys
    before = next((key for key in keys if key.public_key == public_key), None)
    key = _move(before or _new_key(data), phase, now_ms)
    others = [_step_down(other, phase, now_ms) for other in keys if other.public_key != public_key]
    return Ca(name=data["name"], type=data["type"], customer=data.get("customer"), keys=(*others, key))


def halt(ca: Ca, print_: str) -> Ca:
    """Return the CA once a key of it has given a bad signature: no phase makes that key sign again."""
    keys = tuple(replace(key, halted=True) if key.fingerprint == print_ else key for key in ca.keys)
    return replace(ca, keys=keys)


def _new_key(data: Mapping[str, Any]) -> CaKey:
    public_key = parse_public_key_line(data["public_key"])
    return CaKey(public_key=public_key, fingerprint=fingerprint(public_key), phase="created")


def _move(key: CaKey, phase: Phase, now_ms: int) -> CaKey:
    trusted = phase in {"trusted", "signing"}
    return replace(
        key,
        phase=phase,
        since_ms=now_ms,
        trusted_ms=(key.trusted_ms or now_ms) if trusted else 0,
        has_signed=key.has_signed or phase == "signing",
    )


def _step_down(other: CaKey, phase: Phase, now_ms: int) -> CaKey:
    """Return another key of the CA: one of them signs at a time."""
    if phase == "signing" and other.phase == "signing":
        return _move(other, "trusted", now_ms)
    return other
