"""The principals of the certificates that were live at a moment, the newest certificate first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from appliance.index.holdings import first_holding, seq_of
from appliance.index.prefix import Prefix
from appliance.index.queries import Snapshot
from appliance.index.streams import (
    Span,
    choose_driver,
    find_spans,
    holding_bounds,
    merge_highest,
    merge_rows,
)

# Up to so many principals each is looked for by itself. More of them are a good part of all there are, and it
# is less work to go through what is live.
_MAX_PRINCIPALS: Final = 64

# A plus sign keeps SQLite from looking for certificates by the seqs of their outcomes.
_LIVE: Final = (
    "o.outcome = 'issued' AND +o.seq < :upto AND (r.seq IS NULL OR +r.seq >= :upto)"
    " AND +c.valid_after <= :at_s AND +c.valid_before > :at_s"
)
_JOINS: Final = "JOIN outcome o ON o.certificate = c.seq LEFT JOIN revocation r ON r.certificate = c.seq"
_OF_LOGIN: Final = (
    "EXISTS (SELECT 1 FROM holding h CROSS JOIN principal p ON p.id = h.principal"
    " WHERE h.id >= c.seq << 8 AND h.id < (c.seq + 1) << 8 AND +p.login = :login)"
)
_HOLDINGS: Final = (
    "SELECT h.id, h.principal, p.principal, p.login, p.host_group"
    " FROM holding h CROSS JOIN principal p ON p.id = h.principal"
    " WHERE h.id >= ? AND h.id < ? ORDER BY h.id DESC"
)


class Principal(NamedTuple):
    """A principal of users' certificates, and what it stands for."""

    id: int
    name: str
    login: str
    host_group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveQuery:
    """Which live principals are wanted, of those below a holding; None asks for all.

    ``principals`` are each with the customer of whose certificates it counts.
    """

    prefix: Prefix
    before: int
    subject: str | None
    customer: str | None
    login: str | None
    principals: frozenset[tuple[Principal, str]] | None


class LivePrincipal(NamedTuple):
    """A principal of a live certificate; ``holding`` is its id there."""

    holding: int
    principal: Principal

    @property
    def seq(self) -> int:
        """The certificate's intent."""
        return seq_of(self.holding)


def find_principals(
    snapshot: Snapshot, *, login: str | None, host_group: str | None, bare: bool
) -> Iterator[Principal]:
    """Yield the principals for a login, or any, on a host group; or of bare logins."""
    of_group = "host_group IS NULL AND login IS NOT NULL" if bare else "host_group = :host_group"
    of_login = "" if login is None else " AND login = :login"
    columns = "id, principal, login, host_group"
    sql = f"SELECT {columns} FROM principal WHERE {of_group}{of_login}"  # noqa: S608 - constants
    for row in snapshot.db.execute(sql, {"host_group": host_group, "login": login}).fetchall():
        yield Principal(*row)


def find_live(snapshot: Snapshot, query: LiveQuery) -> Iterator[LivePrincipal]:
    """Yield each live principal that is wanted, by the highest holding; of whatever customer it may be."""
    wanted = query.principals
    if query.subject is None and wanted is not None and len(wanted) <= _MAX_PRINCIPALS:
        known = {principal.id: principal for principal, _ in wanted}
        for holding, id_ in _by_principal(snapshot, query, wanted):
            yield LivePrincipal(holding, known[id_])
        return
    principals = {principal for principal, _ in wanted or ()}
    for seq in _by_certificate(snapshot, query):
        for live in _holdings(snapshot, first_holding(seq), min(query.before, first_holding(seq + 1))):
            if query.login in {None, live.principal.login} and (
                wanted is None or live.principal in principals
            ):
                yield live


def _spans(snapshot: Snapshot, query: LiveQuery) -> list[Span]:
    """Return the ranges outside of which there is no live certificate of a user."""
    # Nothing above the row that the last page ended with, though another principal of its certificate.
    high = min(query.prefix.upto, seq_of(query.before) + 1)
    spans = find_spans(snapshot, lambda shelf: not (shelf.is_host or shelf.is_failed), 0, high)
    live = (span.only_live(snapshot, query.prefix.at_s) for span in spans)
    return [span for span in live if span.low < span.high]


def _values(query: LiveQuery) -> dict[str, object]:
    return {"upto": query.prefix.upto, "at_s": query.prefix.at_s, "login": query.login}


def _by_principal(
    snapshot: Snapshot, query: LiveQuery, wanted: frozenset[tuple[Principal, str]]
) -> Iterator[tuple[int, ...]]:
    """Yield the ids of holdings and of their principals."""
    sql = (
        "SELECT h.id, h.principal FROM holding h INDEXED BY holding_principal "  # noqa: S608 - constants
        f"CROSS JOIN certificate c ON c.seq = h.id >> 8 {_JOINS} WHERE h.principal = :held "
        f"AND h.shelf = :shelf AND h.id >= :low AND h.id < :high AND +c.customer = :customer AND {_LIVE} "
        "ORDER BY h.id DESC"
    )
    values = []
    for span in _spans(snapshot, query):
        bounds = holding_bounds(span)
        bounds["high"] = min(query.before, first_holding(span.high))
        values += [
            _values(query) | bounds | {"held": principal.id, "customer": customer}
            for principal, customer in wanted
            if query.customer in {None, customer}
        ]
    return merge_rows(snapshot, sql, values)


def _by_certificate(snapshot: Snapshot, query: LiveQuery) -> Iterator[int]:
    """Yield the seqs of certificates, some of whose principals may not be wanted."""
    columns = {"subject": query.subject, "customer": query.customer}
    equal: dict[str, object] = {name: value for name, value in columns.items() if value is not None}
    source, conditions = choose_driver(equal)
    conditions += ["c.shelf = :shelf", "c.seq >= :low", "c.seq < :high", _LIVE]
    if query.login is not None:
        conditions.append(_OF_LOGIN)
    sql = f"SELECT c.seq FROM {source} CROSS {_JOINS} WHERE {' AND '.join(conditions)} ORDER BY c.seq DESC"  # noqa: S608
    values = [
        _values(query) | equal | {"shelf": span.shelf.number, "low": span.low, "high": span.high}
        for span in _spans(snapshot, query)
    ]
    return merge_highest(snapshot, sql, values)


def _holdings(snapshot: Snapshot, low: int, high: int) -> Iterator[LivePrincipal]:
    for holding, *principal in snapshot.db.execute(_HOLDINGS, (low, high)).fetchall():
        yield LivePrincipal(holding, Principal(*principal))
