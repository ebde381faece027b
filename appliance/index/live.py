"""The principals of the certificates that were live at a moment, the newest certificate first."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from appliance.index.holdings import first_holding, seq_of
from appliance.index.prefix import Prefix
from appliance.index.queries import Snapshot
from appliance.index.streams import Span, choose_driver, find_spans, holding_bounds, merge_rows

# Up to so many principals are looked for by themselves; beyond, it is less work to go through what is live.
_MAX_PRINCIPALS: Final = 2_000

_LIVE: Final = """
SELECT 1 FROM certificate c JOIN outcome o ON o.certificate = c.seq
LEFT JOIN revocation r ON r.certificate = c.seq
WHERE c.seq = ? AND o.outcome = 'issued' AND o.seq < ? AND (r.seq IS NULL OR r.seq >= ?)
  AND c.valid_after <= ? AND c.valid_before > ?
"""
_BY_PRINCIPAL: Final = """
SELECT id, principal FROM holding INDEXED BY holding_principal
WHERE principal IN (SELECT value FROM json_each(:ids)) AND shelf = :shelf AND id >= :low AND id < :high
ORDER BY id DESC
"""
_HOLDINGS: Final = """
SELECT h.id, h.principal, p.principal, p.login, p.host_group
FROM holding h CROSS JOIN principal p ON p.id = h.principal
WHERE h.id >= ? AND h.id < ? ORDER BY h.id DESC
"""
# There are few streams, and most of what they give is on the page.
_CHUNK: Final = 128


class Principal(NamedTuple):
    """A principal of users' certificates, and what it stands for."""

    id: int
    name: str
    login: str
    host_group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveQuery:
    """Which live principals are wanted, of those below a holding; None asks for all."""

    prefix: Prefix
    before: int
    subject: str | None
    customer: str | None
    principals: Collection[Principal] | None


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
    return _principals(snapshot, f"{of_group}{of_login}", host_group=host_group, login=login)


def principals_of_login(snapshot: Snapshot, login: str) -> Iterator[Principal]:
    """Yield the principals for a login, wherever it is one."""
    return _principals(snapshot, "login = :login", login=login)


def _principals(snapshot: Snapshot, condition: str, **values: object) -> Iterator[Principal]:
    sql = f"SELECT id, principal, login, host_group FROM principal WHERE {condition}"  # noqa: S608 - constants
    return (Principal(*row) for row in snapshot.db.execute(sql, values).fetchall())


def find_live(snapshot: Snapshot, query: LiveQuery) -> Iterator[LivePrincipal]:
    """Yield each live principal that is wanted, by the highest holding; of whatever customer it may be."""
    wanted = query.principals
    if query.subject is None and wanted is not None and len(wanted) <= _MAX_PRINCIPALS:
        found = _by_principal(snapshot, query, wanted)
    else:
        found = _by_certificate(snapshot, query, None if wanted is None else frozenset(wanted))
    prefix = query.prefix
    last, live = -1, False
    for each in found:
        if each.seq != last:
            moment = (prefix.upto, prefix.upto, prefix.at_s, prefix.at_s)
            last, live = each.seq, snapshot.value(_LIVE, each.seq, *moment) is not None
        if live:
            yield each


def _spans(snapshot: Snapshot, query: LiveQuery) -> list[Span]:
    """Return the ranges outside of which there is no live certificate of a user."""
    # Nothing above the row that the last page ended with, though another principal of its certificate.
    high = min(query.prefix.upto, seq_of(query.before) + 1)
    spans = find_spans(snapshot, lambda shelf: not (shelf.is_host or shelf.is_failed), 0, high)
    live = (span.only_live(snapshot, query.prefix.at_s) for span in spans)
    return [span for span in live if span.low < span.high]


def _by_principal(
    snapshot: Snapshot, query: LiveQuery, wanted: Collection[Principal]
) -> Iterator[LivePrincipal]:
    known = {principal.id: principal for principal in wanted}
    ids = json.dumps(list(known))
    values = []
    for span in _spans(snapshot, query):
        bounds = holding_bounds(span) | {"ids": ids}
        values.append(bounds | {"high": min(query.before, first_holding(span.high))})
    for holding, id_ in merge_rows(snapshot, _BY_PRINCIPAL, values, first=_CHUNK):
        yield LivePrincipal(holding, known[id_])


def _by_certificate(
    snapshot: Snapshot, query: LiveQuery, wanted: Collection[Principal] | None
) -> Iterator[LivePrincipal]:
    columns = {"subject": query.subject, "customer": query.customer}
    equal: dict[str, object] = {name: value for name, value in columns.items() if value is not None}
    source, conditions = choose_driver(equal)
    conditions += ["c.shelf = :shelf", "c.seq >= :low", "c.seq < :high"]
    sql = f"SELECT c.seq FROM {source} WHERE {' AND '.join(conditions)} ORDER BY c.seq DESC"  # noqa: S608
    values = [
        equal | {"shelf": span.shelf.number, "low": span.low, "high": span.high}
        for span in _spans(snapshot, query)
    ]
    for (seq,) in merge_rows(snapshot, sql, values, first=_CHUNK):
        ids = (first_holding(seq), min(query.before, first_holding(seq + 1)))
        for holding, *principal in snapshot.db.execute(_HOLDINGS, ids).fetchall():
            live = LivePrincipal(holding, Principal(*principal))
            if wanted is None or live.principal in wanted:
                yield live
