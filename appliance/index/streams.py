"""Rows of many shelves, the newest first, without reading more of them than are wanted.

On one shelf the rows that a question is about are one range of an index, in the order in which they are
wanted. One query for each shelf and a merge of what they give keep that order, and a page costs what is on
it, however many certificates are behind it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from appliance.index.queries import Snapshot
from appliance.index.shelves import newest_expired_ms, oldest_live_ms

# Which index a search for a column goes by, from the most selective to the least.
_INDEXES: Final[Mapping[str, str]] = {
    "key": "certificate_key",
    "host": "certificate_host",
    "subject": "certificate_subject",
    "customer": "certificate_customer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The certificates on one shelf whose seqs are from ``low`` up to, not including, ``high``."""

    shelf: int
    low: int
    high: int

    def only_live(self, snapshot: Snapshot, at_s: int) -> Span:
        """Return the part outside of which nothing is valid at a moment."""
        low = snapshot.first_at(oldest_live_ms(self.shelf, at_s))
        return Span(shelf=self.shelf, low=max(self.low, low), high=self.high)

    def only_expired(self, snapshot: Snapshot, at_s: int) -> Span:
        """Return the part outside of which nothing has expired at a moment."""
        high = snapshot.first_at(newest_expired_ms(self.shelf, at_s))
        return Span(shelf=self.shelf, low=self.low, high=min(self.high, high))


def find_spans(snapshot: Snapshot, wanted: Callable[[int], bool], low: int, high: int) -> list[Span]:
    """Return the range of seqs on each shelf that is wanted."""
    shelves = (shelf for (shelf,) in snapshot.db.execute("SELECT shelf FROM shelf"))
    return [Span(shelf=shelf, low=low, high=high) for shelf in shelves if wanted(shelf)]


def choose_driver(equal: Mapping[str, object]) -> tuple[str, list[str]]:
    """Choose by which index to find certificates whose columns have these values.

    Returns:
        The source ``certificate c`` with its index, and the conditions for the values. Those that the index
        is not for carry a plus sign, so that SQLite does not take theirs instead.
    """
    driver = next((column for column in _INDEXES if column in equal), None)
    index = "certificate_all" if driver is None else _INDEXES[driver]
    conditions = [f"{'' if column == driver else '+'}c.{column} = :{column}" for column in equal]
    return f"certificate c INDEXED BY {index}", conditions


def merge_newest(
    snapshot: Snapshot, queries: Iterable[tuple[str, dict[str, object]]]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of all queries by their first column, the highest first; each query has that order."""
    streams = [_rows(snapshot, sql, values) for sql, values in queries]
    if len(streams) == 1:
        return streams[0]
    return heapq.merge(*streams, key=lambda row: -next(iter(row.values())))


def _rows(snapshot: Snapshot, sql: str, values: dict[str, object]) -> Iterator[dict[str, Any]]:
    cursor = snapshot.db.execute(sql, values)
    first = cursor.fetchone()
    if first is None:
        return
    names = [column[0] for column in cursor.description]
    for row in chain([first], cursor):
        yield dict(zip(names, row, strict=True))
