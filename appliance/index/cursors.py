"""Cursors: where the next page begins, and at which size of the ledger and which moment the first one was.

Whoever lists in pages sees one state of things, however long he takes and whatever happens meanwhile. A
cursor is numbers in hexadecimal, joined by dashes: those of the last row's place, the size, the moment. Every
cursor of that form is a place in the list, so that its pattern says all that there is to say of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from appliance.errors import Refusal, malformed

_NUMBER: Final = "[0-9a-f]{1,15}"
# The moment, in milliseconds at most: so long as there are calendars for it.
_MOMENT: Final = "[0-9a-f]{1,11}"

Place = tuple[int, ...]


def cursor_pattern(places: int) -> str:
    """Return the pattern of cursors whose place has so many numbers."""
    return rf"^{_NUMBER}(-{_NUMBER}){{{places}}}-{_MOMENT}$"


def format_cursor(*, after: Sequence[int], size: int, at: int) -> str:
    """Format the cursor of what comes after ``after``, the place of a page's last row."""
    return "-".join(f"{number:x}" for number in (*after, size, at))


def parse_cursor(cursor: str, pattern: str) -> tuple[Place, int, int]:
    """Parse a cursor of that pattern; return the place, the size and the moment.

    Raises:
        Refusal: ``malformed-request``; no page gave it.
    """
    if re.fullmatch(pattern, cursor) is None:
        raise malformed("cursor", "expected one that an earlier page of the same question gave")
    *after, size, at = (int(number, 16) for number in cursor.split("-"))
    return tuple(after), size, at


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
