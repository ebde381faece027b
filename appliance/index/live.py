"""The principals of the certificates that were live at a moment, the newest certificate first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.index.holdings import first_holding
from appliance.index.prefix import Prefix
from appliance.index.queries import Snapshot
from appliance.index.records import RECORD_COLUMNS, RECORD_JOINS
from appliance.index.shelves import is_failed, is_host
from appliance.index.streams import Span, choose_driver, find_spans, merge_newest

# Up to so many principals each is looked for by itself. More of them are a good part of all there are, and it
# is less work to go through what is live.
_MAX_PRINCIPALS: Final = 64

_COLUMNS: Final = (
    f"h.id AS holding, h.principal AS principal_id, p.principal, p.login, p.host_group, {RECORD_COLUMNS}"
)
# A plus sign keeps SQLite from looking for certificates by the seqs of their outcomes.
_LIVE: Final = (
    "o.outcome = 'issued' AND +o.seq < :upto AND (r.seq IS NULL OR +r.seq >= :upto)"
    " AND +c.valid_after <= :at_s AND +c.valid_before > :at_s AND h.id < :before"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveQuery:
    """Which live principals are wanted; None asks for all.

    ``principals`` are ids, each with the customer of whose certificates it counts.
    """

    prefix: Prefix
    before: int
    subject: str | None
    customer: str | None
    login: str | None
    principals: frozenset[tuple[int, str]] | None


def find_principals(
    snapshot: Snapshot, *, login: str | None, host_group: str | None, bare: bool
) -> Iterator[int]:
    """Yield the ids of the principals for a login, or any, on a host group; or of bare logins."""
    of_group = "host_group IS NULL AND login IS NOT NULL" if bare else "host_group = :host_group"
    of_login = "" if login is None else " AND login = :login"
    sql = f"SELECT id FROM principal WHERE {of_group}{of_login}"  # noqa: S608 - constants
    for (id_,) in snapshot.db.execute(sql, {"host_group": host_group, "login": login}).fetchall():
        yield id_


def find_live(snapshot: Snapshot, query: LiveQuery) -> Iterator[Mapping[str, Any]]:
    """Yield a row of :data:`_COLUMNS` for each live principal that is wanted, by the highest holding."""
    prefix = query.prefix
    spans = [
        span.only_live(snapshot, prefix.at_s)
        for span in find_spans(
            snapshot, lambda shelf: not (is_host(shelf) or is_failed(shelf)), 0, prefix.upto
        )
    ]
    values = {"upto": prefix.upto, "at_s": prefix.at_s, "before": query.before}
    wanted = query.principals
    if query.subject is None and wanted is not None and len(wanted) <= _MAX_PRINCIPALS:
        return _by_principal(snapshot, query, wanted, spans, values)
    rows = _by_certificate(snapshot, query, spans, values)
    if wanted is None:
        return rows
    return (row for row in rows if (row["principal_id"], row["customer"]) in wanted)


def _by_principal(
    snapshot: Snapshot,
    query: LiveQuery,
    wanted: frozenset[tuple[int, str]],
    spans: list[Span],
    values: Mapping[str, object],
) -> Iterator[Mapping[str, Any]]:
    sql = (
        f"SELECT {_COLUMNS} FROM holding h INDEXED BY holding_principal "  # noqa: S608 - constants
        f"CROSS JOIN certificate c ON c.seq = h.id >> 8 CROSS JOIN principal p ON p.id = h.principal "
        f"{RECORD_JOINS} WHERE h.principal = :held AND h.shelf = :shelf AND h.id >= :low AND h.id < :high "
        f"AND +c.customer = :customer AND {_LIVE} ORDER BY h.id DESC"
    )
    queries = []
    for id_, customer in wanted:
        if query.customer not in {None, customer}:
            continue
        for span in spans:
            bounds = {"shelf": span.shelf, "low": first_holding(span.low), "high": first_holding(span.high)}
            queries.append((sql, {**values, **bounds, "held": id_, "customer": customer}))
    return merge_newest(snapshot, queries)


def _by_certificate(
    snapshot: Snapshot, query: LiveQuery, spans: list[Span], values: Mapping[str, object]
) -> Iterator[Mapping[str, Any]]:
    columns = {"subject": query.subject, "customer": query.customer}
    equal = {name: value for name, value in columns.items() if value is not None}
    source, conditions = choose_driver(equal)
    conditions += ["c.shelf = :shelf", "c.seq >= :low", "c.seq < :high", _LIVE]
    if query.login is not None:
        conditions.append("+p.login = :login")
    sql = (
        f"SELECT {_COLUMNS} FROM {source} "  # noqa: S608 - constants
        "CROSS JOIN holding h ON h.id >= c.seq << 8 AND h.id < (c.seq + 1) << 8 "
        f"CROSS JOIN principal p ON p.id = h.principal {RECORD_JOINS} "
        f"WHERE {' AND '.join(conditions)} ORDER BY c.seq DESC, h.id DESC"
    )
    values = {**values, **equal, "login": query.login}
    # Nothing above the row that the last page ended with.
    end = (query.before >> 8) + 1
    bounds = [{"shelf": span.shelf, "low": span.low, "high": min(span.high, end)} for span in spans]
    return merge_newest(snapshot, [(sql, {**values, **each}) for each in bounds])
