"""Ledger entries, from their bytes (docs/formats/ledger.md, "Entry bytes")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .canonical import JsonObject, parse_object
from .errors import MalformedError
from .merkle import LeafHash

MAX_ENTRY: Final = 60_000

_MEMBERS: Final = frozenset({"data", "kind", "prev", "seq", "time_ms", "v"})
_KIND: Final = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)*")
_PREV: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry whose envelope is sound; ``data`` is as its kind and version have it, or unknown.

    ``raw`` are the bytes that were read, and ``prev`` what they say of the entry before.
    """

    seq: int
    kind: str
    v: int
    time_ms: int
    prev: LeafHash
    data: JsonObject
    raw: bytes


def parse_entry(octets: bytes) -> Entry:
    """Parse canonical entry bytes; neither the chain nor the data's schema is checked here.

    Raises:
        MalformedError: too long, not canonical, or not exactly the six members of an entry.
    """
    if len(octets) > MAX_ENTRY:
        raise MalformedError(f"the entry is longer than {MAX_ENTRY} bytes")
    members = parse_object(octets)
    if members.keys() != _MEMBERS:
        odd = ", ".join(sorted(members.keys() ^ _MEMBERS))
        raise MalformedError(f"missing or unknown members of the entry: {odd[:200]}")
    kind, prev, data = members["kind"], members["prev"], members["data"]
    if not isinstance(kind, str) or len(kind) > 64 or _KIND.fullmatch(kind) is None:
        raise MalformedError("kind: expected lower-case words joined by dots, at most 64 characters")
    if not isinstance(prev, str) or _PREV.fullmatch(prev) is None:
        raise MalformedError("prev: expected 64 lower-case hex digits")
    if not isinstance(data, dict):
        raise MalformedError("data: expected an object")
    return Entry(
        seq=_integer(members, "seq", least=0),
        kind=kind,
        v=_integer(members, "v", least=1),
        time_ms=_integer(members, "time_ms", least=0),
        prev=LeafHash(bytes.fromhex(prev)),
        data=data,
        raw=octets,
    )


def _integer(members: JsonObject, name: str, *, least: int) -> int:
    value = members[name]
    if type(value) is not int or value < least:
        raise MalformedError(f"{name}: expected an integer from {least} up")
    return value
