"""What a calendar's reader tells of each event. Without the reader's libraries, which nobody else loads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A time that an event takes up, half-open, in Unix seconds; addresses are in lower case."""

    uid: str
    summary: str
    organizer: str | None
    attendees: tuple[str, ...]
    all_day: bool
    starts_s: int
    ends_s: int
