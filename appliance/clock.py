"""The one place that reads the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def now_ms() -> int:
    """Return the wall clock in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def now_s() -> int:
    """Return the wall clock in whole seconds since the Unix epoch."""
    return time.time_ns() // 1_000_000_000


@lru_cache(maxsize=1_024)  # the same few seconds are formatted for every request and every line of the log
def format_rfc3339(moment_s: int) -> str:
    """Format Unix seconds as RFC 3339 in UTC, for people and for JSON: ``2026-01-31T08:00:00Z``."""
    return datetime.fromtimestamp(moment_s, UTC).isoformat().removesuffix("+00:00") + "Z"


def format_rfc3339_ms(moment_ms: int) -> str:
    """Format Unix milliseconds as RFC 3339 in UTC with three decimals."""
    seconds, milliseconds = divmod(moment_ms, 1000)
    return f"{format_rfc3339(seconds)[:-1]}.{milliseconds:03d}Z"
