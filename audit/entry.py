r"""Entries: RFC 8785 JSON objects, restricted so that there is one way to write each.

``{"data":{…},"kind":"certificate.intent","prev":"<64 hex>","seq":17,"time_ms":1764000000123,"v":1}``

Restricted: member names of lower-case ASCII letters, digits and underscores (every way of sorting agrees on
them), strings, booleans, integers from 0 to 2^53 - 1, arrays and objects; no floats, no null. For such values
orjson writes exactly what RFC 8785 §3.2 asks for, as the standard library does at twenty times the cost:
sorted names, no white space, the short escapes and ``\u00xx`` for control characters, the rest as UTF-8.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NewType, TypeAlias

import orjson

from audit.errors import EntryError, TooLarge

LeafHash = NewType("LeafHash", bytes)
RootHash = NewType("RootHash", bytes)
JsonValue: TypeAlias = "str | bool | int | list[JsonValue] | dict[str, JsonValue]"

MAX_ENTRY_BYTES: Final = 60_000
MAX_INTEGER: Final = 2**53 - 1
MAX_DEPTH: Final = 32  # the entry itself included
FIRST_PREV: Final = LeafHash(bytes(32))

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KIND: Final = re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_LAST_MEMBERS: Final = re.compile(rb'(?:0|[1-9][0-9]{0,15}),"v":[1-9][0-9]{0,15}\}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry, and the bytes whose leaf hash (RFC 6962 §2.1) it goes by."""

    seq: int
    time_ms: int
    kind: str
    v: int
    prev: LeafHash
    data: Mapping[str, JsonValue]
    raw: bytes
    leaf_hash: LeafHash


def leaf_hash(raw: bytes) -> LeafHash:
    """Return the leaf hash of an entry's bytes (RFC 6962 §2.1)."""
    return LeafHash(hashlib.sha256(b"\0" + raw).digest())


def canonical_json(value: object) -> bytes:
    """Encode a value as the one sequence of bytes that stands for it.

    Raises:
        EntryError: it holds something that the format has no form for.
    """
    _check_value(value, "value", MAX_DEPTH)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise EntryError("a string holds a lone surrogate, expected Unicode text") from error


def parse_canonical(raw: bytes) -> dict[str, JsonValue]:
    """Parse the bytes of an object; the exact inverse of :func:`canonical_json`.

    Raises:
        EntryError: anything else, another way to write the same object included.
    """
    if len(raw) > MAX_ENTRY_BYTES:
        raise TooLarge(f"got {len(raw)} bytes, expected at most {MAX_ENTRY_BYTES}")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise EntryError(f"not a JSON object in UTF-8: {error}") from error
    if type(value) is not dict:
        raise EntryError(f"got {type(value).__name__}, expected an object")
    if canonical_json(value) != raw:
        # A member given twice, white space, another order, number or escape: all of them end here.
        raise EntryError("not the canonical form (RFC 8785) of what it says")
    return value


def encode_entry(
    *, kind: str, v: int, data: Mapping[str, object], prev: LeafHash, seq: int, time_ms: int
) -> Entry:
    """Encode an entry.

    Raises:
        TooLarge: it would have more than :data:`MAX_ENTRY_BYTES`.
        EntryError: the kind or the data has no form in the format.
    """
    if _KIND.fullmatch(kind) is None:
        raise EntryError(f"kind: got {kind[:80]!r}, expected lower-case words joined by dots")
    if type(v) is not int or v < 1:
        raise EntryError(f"v: got {v!r}, expected an integer of at least 1")
    fields = {"data": data, "kind": kind, "prev": prev.hex(), "seq": seq, "time_ms": time_ms, "v": v}
    raw = canonical_json(fields)
    if len(raw) > MAX_ENTRY_BYTES:
        raise TooLarge(f"{kind}: {len(raw)} bytes, expected at most {MAX_ENTRY_BYTES}; ask for less at once")
    return Entry(
        seq=seq,
        time_ms=time_ms,
        kind=kind,
        v=v,
        prev=prev,
        data=data,  # type: ignore[arg-type]  # canonical_json has just checked that it is JSON
        raw=raw,
        leaf_hash=leaf_hash(raw),
    )


def decode_entry(raw: bytes) -> Entry:
    """Decode an entry's bytes; the exact inverse of :func:`encode_entry`. Checks no chain.

    Raises:
        EntryError: the bytes are not an entry.
    """
    fields = parse_canonical(raw)
    if set(fields) != {"data", "kind", "prev", "seq", "time_ms", "v"}:
        raise EntryError(f"got the members {', '.join(fields)}, expected data, kind, prev, seq, time_ms, v")
    kind, v, data, prev = fields["kind"], fields["v"], fields["data"], fields["prev"]
    if not isinstance(kind, str) or _KIND.fullmatch(kind) is None:
        raise EntryError("kind: expected lower-case words joined by dots")
    if not isinstance(prev, str) or _HASH.fullmatch(prev) is None:
        raise EntryError("prev: expected 64 lower-case hex digits")
    if not isinstance(data, dict):
        raise EntryError("data: expected an object")
    if type(v) is not int or v < 1:
        raise EntryError("v: expected an integer of at least 1")
    return Entry(
        seq=_integer(fields, "seq"),
        time_ms=_integer(fields, "time_ms"),
        kind=kind,
        v=v,
        prev=LeafHash(bytes.fromhex(prev)),
        data=data,
        raw=raw,
        leaf_hash=leaf_hash(raw),
    )


def check_link(raw: bytes, *, seq: int, prev: LeafHash) -> LeafHash:
    """Check that an entry's bytes name this place in the chain, and return their leaf hash.

    For bytes that :func:`encode_entry` made: what comes before ``prev`` is not looked at. The last member of
    that name is the entry's own, since only numbers follow it.

    Raises:
        EntryError: they name another place, or none.
    """
    link = b',"prev":"%b","seq":%d,"time_ms":' % (prev.hex().encode(), seq)
    start = raw.rfind(b',"prev":"')
    if not raw.startswith(link, start) or _LAST_MEMBERS.fullmatch(raw, start + len(link)) is None:
        raise EntryError(f"is not entry {seq}, or does not follow its predecessor")
    return leaf_hash(raw)


def _integer(fields: Mapping[str, JsonValue], name: str) -> int:
    value = fields[name]
    if type(value) is not int:
        raise EntryError(f"{name}: expected an integer")
    return value


@lru_cache(maxsize=1_024)  # some dozens of names make up all entries
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _check_value(value: object, path: str, depth: int) -> None:
    # By exact type: a bool is an int to Python, and a subclass could encode as something else.
    kind = type(value)
    if kind is str or kind is bool:
        return
    if kind is int:
        if not 0 <= value <= MAX_INTEGER:  # type: ignore[operator]
            raise EntryError(f"{path}: got an integer outside 0 to 2^53 - 1, expected a decimal string")
        return
    if depth == 0:
        raise EntryError(f"{path[:80]}: nested more than {MAX_DEPTH} deep")
    if kind is dict:
        for name, member in value.items():  # type: ignore[attr-defined]
            if type(name) is not str or not _is_name(name):
                raise EntryError(f"{path}: got the member name {str(name)[:80]!r}, expected a-z, 0-9 and _")
            if type(member) is not str:
                _check_value(member, name, depth - 1)
    elif kind is list:
        for member in value:  # type: ignore[attr-defined]
            _check_value(member, path, depth - 1)
    else:
        raise EntryError(f"{path}: got {kind.__name__}, expected a string, boolean, integer, list or object")
