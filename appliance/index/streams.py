"""Keys from many shelves, the highest first, without reading more of them than are wanted.

On one shelf what a question is about is one range of an index, in the order in which it is wanted. One query
for each shelf and a merge of what they give keep that order, and a page costs what is on it, however many
certificates are behind it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from appliance.index.holdings import first_holding
from appliance.index.queries import Snapshot
from appliance.index.shelves import Shelf

# Which index a search for a column goes by, from the most selective to the least.
_INDEXES: Final[Mapping[str, str]] = {
    "key": "certificate_key",
    "host": "certificate_host",
    "subject": "certificate_subject",
    "customer": "certificate_customer",
}
# How many keys a stream reads at first: there may be a hundred of them, and a page has a hundred rows.
_FIRST: Final = 4
_MOST: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The certificates on one shelf whose seqs are from ``low`` up to, not including, ``high``."""

    shelf: Shelf
    low: int
    high: int

    def only_live(self, snapshot: Snapshot, at_s: int) -> Span:
        """Return the part outside of which nothing is valid at a moment."""
        low = snapshot.first_at(self.shelf.oldest_live_ms(at_s))
        return Span(shelf=self.shelf, low=max(self.low, low), high=self.high)

    def only_expired(self, snapshot: Snapshot, at_s: int) -> Span:
        """Return the part outside of which nothing has expired at a moment."""
        high = snapshot.first_at(self.shelf.newest_expired_ms(at_s))
        return Span(shelf=self.shelf, low=self.low, high=min(self.high, high))


def find_spans(snapshot: Snapshot, wanted: Callable[[Shelf], bool], low: int, high: int) -> list[Span]:
    """Return the range of seqs on each shelf that is wanted."""
    rows = snapshot.db.execute("SELECT shelf, shortest_s, longest_s FROM shelf").fetchall()
    shelves = (Shelf(number=number, shortest_s=short, longest_s=long) for number, short, long in rows)
    return [Span(shelf=shelf, low=low, high=high) for shelf in shelves if wanted(shelf)]


def holding_bounds(span: Span) -> dict[str, object]:
    """Return a span's shelf and the range of its holdings' ids, as a query's values."""
    return {"shelf": span.shelf.number, "low": first_holding(span.low), "high": first_holding(span.high)}


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


def merge_highest(snapshot: Snapshot, sql: str, values: Iterable[Mapping[str, object]]) -> Iterator[int]:
    """Yield the keys that a query gives for all these values, the highest first.

    The query's first column is a key below ``:high``, the highest first.
    """
    return (key for key, *_ in merge_rows(snapshot, sql, values))


def merge_rows(
    snapshot: Snapshot, sql: str, values: Iterable[Mapping[str, object]], *, first: int = _FIRST
) -> Iterator[tuple[int, ...]]:
    """Yield the rows that a query gives for all these values; as :func:`merge_highest`.

    Of each ``first`` rows are read at first.
    """
    streams = [_read(snapshot, f"{sql} LIMIT :limit", dict(each), first) for each in values]
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, reverse=True)


def _read(snapshot: Snapshot, sql: str, values: dict[str, object], limit: int) -> Iterator[tuple[int, ...]]:
    """Yield rows; read some, and more when those are used up.

    A cursor that stays open would keep its statement, and SQLite would compile it again for every stream.
    """
    while True:
        rows = snapshot.db.conn.execute(sql, values | {"limit": limit}).fetchall()
        yield from rows
        if len(rows) < limit:
            return
        values["high"] = rows[-1][0]
        limit = min(_MOST, 4 * limit)
