"""iCalendar files, made of lines."""

from __future__ import annotations


def event(*lines: str, uid: str = "1@calendar.example") -> bytes:
    """Return an event with these lines, of no more than a line is long."""
    return _crlf("BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260101T000000Z", *lines, "END:VEVENT")


def calendar(*events: bytes) -> bytes:
    """Return a calendar of events."""
    head = _crlf("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//example.org//tests//EN")
    return head + b"".join(events) + _crlf("END:VCALENDAR")


def _crlf(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
