"""Time zones: what the clock on a wall shows, and when.

The rules come from the ``tzdata`` package and never from the machine, whose database may be of any age: who
replays a decision needs the very same rules, and :data:`TZDATA` is the version that goes on record.

A wall's clock skips an hour when summer time begins and shows one twice when it ends. Everything here goes by
what it shows: a time that it skips never comes, and one that it shows twice comes twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

import tzdata

TZDATA: Final[str] = tzdata.IANA_VERSION


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From one moment up to and not including another, in Unix seconds."""

    opens_s: int
    closes_s: int


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all time zones."""
    return frozenset(files(tzdata).joinpath("zones").read_text("ascii").split())


@cache
def load_zone(name: str) -> ZoneInfo:
    """Load a time zone by its name, such as ``Europe/Berlin``.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in zone_names():
        raise ValueError(f"got {name[:80]!r}, expected a time zone such as Europe/Berlin")
    with files(tzdata).joinpath("zoneinfo", *name.split("/")).open("rb") as source:
        return ZoneInfo.from_file(source, key=name)


def spans_of_wall(zone: tzinfo, opens: datetime, closes: datetime) -> Iterator[Span]:
    """Yield when the wall's clock shows ``opens`` or later and not yet ``closes``; both without a zone.

    One span mostly. Where a change of the clock falls between, the time before it and the time after it are
    reckoned each by its own offset: two spans, which may touch, and of which an empty one is left out.
    """
    before, after = _offset(zone, opens, fold=0), _offset(zone, closes, fold=1)
    first = Span(_utc(opens, before), _utc(closes, before))
    last = Span(_utc(opens, after), _utc(closes, after))
    if before == after:
        yield first
        return
    change_s = _find_change(zone, min(first.opens_s, last.opens_s), max(first.closes_s, last.closes_s))
    first = Span(first.opens_s, min(first.closes_s, change_s))
    last = Span(max(last.opens_s, change_s), last.closes_s)
    yield from (span for span in (first, last) if span.opens_s < span.closes_s)


def join_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sort spans and join those that overlap or touch."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.opens_s <= joined[-1].closes_s:
            joined[-1] = Span(joined[-1].opens_s, max(joined[-1].closes_s, span.closes_s))
        else:
            joined.append(span)
    return tuple(joined)


def first_showing(zone: tzinfo, wall: datetime) -> int:
    """Return the first moment at which the wall's clock shows ``wall`` or, if it skips that, later."""
    early, late = (_utc(wall, _offset(zone, wall, fold=fold)) for fold in (0, 1))
    # Of a time that is skipped the one with fold 0 lies behind the change and the one with fold 1 before it.
    return early if early <= late else _find_change(zone, late, early)


def format_moment(moment_s: int, zone: tzinfo = UTC) -> str:
    """Format a moment for people: RFC 3339 with the offset of the zone, ``Z`` in UTC."""
    return datetime.fromtimestamp(moment_s, zone).isoformat().replace("+00:00", "Z")


def _offset(zone: tzinfo, wall: datetime, *, fold: int) -> timedelta:
    return wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0)


def _utc(wall: datetime, offset: timedelta) -> int:
    return round((wall - offset).replace(tzinfo=UTC).timestamp())


def _find_change(zone: tzinfo, start_s: int, end_s: int) -> int:
    """Return the moment between two of which the offset is no longer the first one's."""
    before = datetime.fromtimestamp(start_s, zone).utcoffset()

    def has_changed(moment_s: int) -> bool:
        return datetime.fromtimestamp(moment_s, zone).utcoffset() != before

    return bisect_left(range(start_s, end_s + 1), True, key=has_changed) + start_s
