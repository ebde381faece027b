"""The restricted canonical JSON of entries (RFC 8785, narrowed by docs/formats/ledger.md), read strictly.

The grammar below derives canonical texts only: one spelling of each string, names in order, no space
anywhere. So nothing has to be written out again and compared, and a text that is accepted is the only text
of its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from .errors import MalformedError

JsonValue = str | bool | int | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
JsonObject = Mapping[str, JsonValue]

MAX_INTEGER: Final = 2**53 - 1
# Real entries nest five deep. The bound keeps a hostile one from exhausting the stack of this reader, and
# of every other that follows.
MAX_DEPTH: Final = 32

_NAME: Final = re.compile(r'"([a-z][a-z0-9_]{0,63})":')
_PLAIN: Final = re.compile(r'"([^"\\\x00-\x1f]*+)"')
# RFC 8785 section 3.2.2.2: these seven short escapes, the other control characters as lower-case \u00xx,
# everything else as itself.
_ESCAPED: Final = re.compile(r'"((?:[^"\\\x00-\x1f]++|\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f])))*+)"')
_ESCAPE: Final = re.compile(r"\\(?:u00(..)|(.))")
_SHORT: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,15}")


def parse_object(octets: bytes) -> JsonObject:
    """Parse the one JSON object that ``octets`` are.

    Integers are 0 … 2^53-1; there are no fractions, no null. Bounding the length is the caller's part.

    Raises:
        MalformedError: anything else, with the offset in characters.
    """
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"not UTF-8 at byte {error.start}") from error
    if not text.startswith("{"):
        raise MalformedError("at offset 0: expected an object")
    value, end = _object(text, 1, 1)
    if end != len(text):
        raise MalformedError(f"at offset {end}: expected nothing after the object")
    return value


def _value(text: str, at: int, depth: int) -> tuple[JsonValue, int]:
    lead = text[at : at + 1]
    if lead == '"':
        return _string(text, at)
    if lead == "{":
        return _object(text, at + 1, depth + 1)
    if lead == "[":
        return _array(text, at + 1, depth + 1)
    if text.startswith("true", at):
        return True, at + 4
    if text.startswith("false", at):
        return False, at + 5
    return _integer(text, at)


def _string(text: str, at: int) -> tuple[str, int]:
    plain = _PLAIN.match(text, at)
    if plain is not None:
        return plain[1], plain.end()
    escaped = _ESCAPED.match(text, at)
    if escaped is None:
        raise MalformedError(f"at offset {at}: expected a string in its canonical spelling")
    return _ESCAPE.sub(_unescape, escaped[1]), escaped.end()


def _unescape(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else _SHORT[escape[2]]


def _integer(text: str, at: int) -> tuple[int, int]:
    digits = _INTEGER.match(text, at)
    if digits is None:
        raise MalformedError(f"at offset {at}: expected a string, integer, boolean, array or object")
    number = int(digits[0])
    if number > MAX_INTEGER:
        raise MalformedError(f"at offset {at}: got {number}, expected an integer up to {MAX_INTEGER}")
    return number, digits.end()


def _object(text: str, at: int, depth: int) -> tuple[dict[str, JsonValue], int]:
    _check_depth(at, depth)
    members: dict[str, JsonValue] = {}
    if text.startswith("}", at):
        return members, at + 1
    last = ""
    while True:
        match = _NAME.match(text, at)
        if match is None:
            raise MalformedError(f'at offset {at}: expected a member name ([a-z][a-z0-9_]*, quoted) and ":"')
        name = match[1]
        if name <= last:
            raise MalformedError(f"at offset {at}: member {name!r} is repeated or out of order")
        members[name], at = _value(text, match.end(), depth)
        last = name
        if text.startswith("}", at):
            return members, at + 1
        at = _comma(text, at)


def _array(text: str, at: int, depth: int) -> tuple[list[JsonValue], int]:
    _check_depth(at, depth)
    items: list[JsonValue] = []
    if text.startswith("]", at):
        return items, at + 1
    while True:
        item, at = _value(text, at, depth)
        items.append(item)
        if text.startswith("]", at):
            return items, at + 1
        at = _comma(text, at)


def _comma(text: str, at: int) -> int:
    if not text.startswith(",", at):
        raise MalformedError(f"at offset {at}: expected a comma or the end of the array or object")
    return at + 1


def _check_depth(at: int, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MalformedError(f"at offset {at}: nested deeper than {MAX_DEPTH}")
