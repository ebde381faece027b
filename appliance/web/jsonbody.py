"""Strict JSON for request bodies: an object, or a reason why not. Pure.

Python's parser accepts what RFC 8259 leaves open and other parsers read differently: duplicate members, NaN,
lone surrogates. What two readers could understand in two ways is refused here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import accumulate
from typing import Any, Final, NoReturn

from appliance.errors import malformed

MAX_DEPTH: Final = 32
# No object of ours has as many members; objects with 100 000 would keep whoever checks them busy.
MAX_MEMBERS: Final = 64
# Beyond these integers readers differ (RFC 7493 §2.2), and the authority's socket has no form for them.
MAX_INTEGER: Final = 2**53 - 1
# The closing quote is optional so that this always matches at once, also a string that never ends.
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKET: Final = re.compile(r"[^][{}]+")
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse a JSON text that must be an object.

    Raises:
        Refusal: ``malformed-request``.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("body", f"not UTF-8 at byte {error.start}") from error
    _check_depth(text)
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        raise malformed("body", f"not JSON: {error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError) as error:  # an integer of more than 4300 digits
        raise malformed("body", "not JSON that can be read") from error
    if not isinstance(value, dict):
        raise malformed("body", "expected an object")
    if "\\u" in text:  # the one way in which a surrogate can be in a text that was UTF-8
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise malformed("body", "has a lone surrogate") from error
    return value


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the parser meets it."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    deepest = max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
    if deepest > MAX_DEPTH:
        raise malformed("body", f"nested {deepest} deep, expected at most {MAX_DEPTH}")


def _refuse_constant(name: str) -> NoReturn:
    raise malformed("body", f"{name} is no JSON number")


def _parse_integer(digits: str) -> int:
    value = int(digits)
    if abs(value) > MAX_INTEGER:
        raise malformed("body", f"has an integer beyond {MAX_INTEGER}; write larger numbers as strings")
    return value


def _parse_number(digits: str) -> int:
    """Parse a number with a fraction or an exponent, which may be an integer all the same: 63.0 is 63."""
    value = float(digits)
    if not value.is_integer() or abs(value) > MAX_INTEGER:
        raise malformed("body", f"has the number {digits[:40]}; no member takes one that is no integer")
    return int(value)


def _build_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(members) > MAX_MEMBERS:
        raise malformed("body", f"has an object of {len(members)} members, expected at most {MAX_MEMBERS}")
    built = dict(members)
    if len(built) != len(members):
        ((twice, _),) = Counter(name for name, _ in members).most_common(1)
        raise malformed("body", f"the member {twice[:80]!r} is there twice")
    return built


_decode: Final = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_number,
    parse_constant=_refuse_constant,
    strict=True,
).decode
