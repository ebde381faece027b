"""Moments as people write them in queries: RFC 3339, with its time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

# Cursors have room for no later one, and nothing that is reckoned from one leaves the calendar.
_END_MS: Final = int(datetime(2500, 1, 1, tzinfo=UTC).timestamp() * 1000)
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_moment_ms(text: str) -> int:
    """Parse a moment and return it in Unix milliseconds.

    Raises:
        ValueError: it is none.
    """
    if _RFC3339.fullmatch(text) is None:
        raise ValueError(f"got {text[:40]!r}, expected a moment such as 2026-01-31T08:00:00Z")
    try:
        moment = int(datetime.fromisoformat(text.upper()).timestamp() * 1000)
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"got {text[:40]!r}, and there is no such moment") from error
    if not 0 <= moment < _END_MS:
        raise ValueError(f"got {text[:40]!r}, expected a moment after 1970 and before 2500")
    return moment
