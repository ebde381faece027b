"""Cursors: where the next page begins, and at which size of the ledger and which moment the first one was.

Whoever lists in pages sees one state of things, however long he takes and whatever happens meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Final

from appliance.errors import Refusal, malformed

MAX_CURSOR: Final = 200
_MAX: Final = 2**62

Place = tuple[int, ...]


def format_cursor(*, after: Sequence[int], size: int, at: int) -> str:
    """Format the cursor of what comes after ``after``, the place of a page's last row."""
    text = json.dumps({"after": list(after), "at": at, "size": size}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_cursor(cursor: str, places: int) -> tuple[Place, int, int]:
    """Parse a cursor whose place has so many numbers; return the place, the size and the moment.

    Raises:
        Refusal: ``malformed-request``; no page gave it.
    """
    try:
        value = json.loads(base64.urlsafe_b64decode(cursor[:MAX_CURSOR] + "=" * (-len(cursor) % 4)))
        after, size, at = _read(value, places)
    except (ValueError, binascii.Error, KeyError, TypeError, RecursionError) as error:
        raise malformed("cursor", "expected one that an earlier page of the same question gave") from error
    return after, size, at


def check_size(size: int, covered: int) -> None:
    """Check that the index covers the size that a cursor speaks of.

    Raises:
        Refusal: ``ledger-unavailable``; it is being built anew.
    """
    if size > covered:
        raise Refusal(
            "ledger-unavailable",
            f"the index covers {covered} entries, not yet the {size} of the cursor",
            ledger_size=covered,
            retry_after_s=1,
        )


def _read(value: Mapping[str, object], places: int) -> tuple[Place, int, int]:
    after, size, at = value["after"], value["size"], value["at"]
    if not isinstance(after, list) or len(after) != places:
        raise TypeError("after: expected the place of a row")
    numbers = [*after, size, at]
    for each in numbers:
        if type(each) is not int or not 0 <= each < _MAX:
            raise ValueError("expected integers from 0 on")
    return tuple(numbers[:-2]), numbers[-2], numbers[-1]
