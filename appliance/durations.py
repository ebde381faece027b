"""Durations as people write them in policies, requests and options: ``90s``, ``30m``, ``8h``, ``30d``."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhdw])", re.ASCII)


def parse_duration(text: str) -> int:
    """Parse a duration of one number and one unit and return it in seconds.

    Raises:
        ValueError: the text is not of that form.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"got {text[:40]!r}, expected a duration such as 90s, 30m, 8h, 30d or 2w")
    return int(match[1]) * _UNITS[match[2]]


def format_duration(seconds: int) -> str:
    """Format seconds with the largest unit that divides them: the inverse of :func:`parse_duration`."""
    for unit, size in reversed(_UNITS.items()):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
