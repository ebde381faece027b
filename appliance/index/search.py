"""Searching certificates: by every field, in every state, page by page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final, Literal

from appliance.errors import malformed
from appliance.index.cursors import check_size, format_cursor, parse_cursor
from appliance.index.holdings import first_holding
from appliance.index.queries import MAX_PAGE, Snapshot
from appliance.index.records import RECORD_COLUMNS, RECORD_JOINS, CertificateRecord, certificate_of
from appliance.index.schema import key_number
from appliance.index.shelves import is_failed, is_host, is_revoked
from appliance.index.streams import Span, choose_driver, find_spans, merge_newest
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import parse_fingerprint

StateName = Literal["pending", "active", "expired", "revoked", "failed"]

# What each state means as a condition; `:size` is how much of the ledger counts. A plus sign keeps SQLite
# from looking for certificates by the seqs of their outcomes.
_ISSUED: Final = "o.outcome = 'issued' AND +o.seq < :size"
_UNREVOKED: Final = "(r.seq IS NULL OR +r.seq >= :size)"
_STATES: Final[dict[StateName, str]] = {
    "pending": "(o.seq IS NULL OR +o.seq >= :size)",
    "failed": "o.outcome <> 'issued' AND +o.seq < :size",
    "revoked": f"{_ISSUED} AND +r.seq < :size",
    "active": f"{_ISSUED} AND {_UNREVOKED} AND +c.valid_before > :now_s",
    "expired": f"{_ISSUED} AND {_UNREVOKED} AND +c.valid_before <= :now_s",
}
_KEY_ID_END: Final = re.compile(r".*#([1-9][0-9]{0,4})\.([0-9]{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFilter:
    """What certificates are searched for; None asks for nothing. Times are those of the intents."""

    subject: str | None = None
    key_id: str | None = None
    principal: str | None = None
    host: str | None = None
    customer: str | None = None
    fingerprint: str | None = None
    type: str | None = None
    state: StateName | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records, the newest first, and where the next ones begin.

    All pages of one search are of the ledger as it was at ``size``; states are those at ``now_s``.
    """

    certificates: tuple[CertificateRecord, ...]
    cursor: str | None
    size: int
    now_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """A question, and what it is about: the entries from ``low`` up to, not including, ``high``."""

    wanted: CertificateFilter
    size: int
    now_s: int
    low: int
    high: int
    equal: dict[str, object] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, object]:
        return {"size": self.size, "now_s": self.now_s, "principal": self.wanted.principal, **self.equal}


def find_certificates(
    snapshot: Snapshot, wanted: CertificateFilter, *, now_s: int, cursor: str | None, limit: int
) -> Page:
    """Search, newest first.

    Raises:
        Refusal: ``malformed-request``, the cursor, the limit or the fingerprint is none;
            ``ledger-unavailable``, the index does not yet cover what the cursor speaks of.
    """
    if not 0 < limit <= MAX_PAGE:
        raise malformed("limit", f"got {limit}, expected 1 to {MAX_PAGE}")
    size, high = snapshot.size, snapshot.size
    if cursor is not None:
        (high,), size, now_s = parse_cursor(cursor, 1)
        check_size(size, snapshot.size)
    search = _Search(
        wanted=wanted,
        size=size,
        now_s=now_s,
        low=0 if wanted.since_ms is None else snapshot.first_at(wanted.since_ms),
        high=min(high, size if wanted.until_ms is None else snapshot.first_at(wanted.until_ms)),
        equal=_columns(wanted),
    )
    records = (certificate_of(row, size) for row in _find(snapshot, search))
    found = tuple(islice(filter(partial(_is_exact, wanted), records), limit + 1))
    more = len(found) > limit
    after = format_cursor(after=[found[limit - 1].seq], size=size, at=now_s) if more else None
    return Page(certificates=found[:limit], cursor=after, size=size, now_s=now_s)


def _is_exact(wanted: CertificateFilter, record: CertificateRecord) -> bool:
    """Say whether a record is one that is wanted, and not only one that its index has in the same place."""
    return (wanted.key_id or record.key_id, wanted.fingerprint or record.key_fingerprint) == (
        record.key_id,
        record.key_fingerprint,
    )


def _columns(wanted: CertificateFilter) -> dict[str, object]:
    columns: dict[str, object] = {
        name: value
        for name, value in (
            ("subject", wanted.subject),
            ("host", wanted.host),
            ("customer", wanted.customer),
        )
        if value is not None
    }
    if wanted.fingerprint is not None:
        try:
            columns["key"] = key_number(parse_fingerprint(wanted.fingerprint))
        except SshFormatError as error:
            raise malformed("fingerprint", str(error)) from error
    return columns


def _find(snapshot: Snapshot, search: _Search) -> Iterator[dict[str, Any]]:
    wanted = search.wanted
    if wanted.key_id is not None:
        return _find_one(snapshot, search, _seq_in(wanted.key_id, snapshot.log_number))
    if wanted.state == "pending":
        return _find_pending(snapshot, search)
    selective = {"key", "host"} & search.equal.keys()
    if wanted.principal is not None and not selective:
        return _find_by_principal(snapshot, search)
    source, conditions = choose_driver(search.equal)
    conditions += ["c.shelf = :shelf", "c.seq >= :low", "c.seq < :high", *_conditions(search)]
    sql = _sql(source, conditions, "c.seq")
    return merge_newest(snapshot, [(sql, search.values | _bounds(span)) for span in _spans(snapshot, search)])


def _find_one(snapshot: Snapshot, search: _Search, seq: int) -> Iterator[dict[str, Any]]:
    """Find the certificate whose intent is one entry, if it is all that is asked for."""
    if not search.low <= seq < search.high:
        return iter(())
    conditions = ["c.seq = :seq", *_all_conditions(search)]
    return merge_newest(
        snapshot, [(_sql("certificate c", conditions, "c.seq"), search.values | {"seq": seq})]
    )


def _find_pending(snapshot: Snapshot, search: _Search) -> Iterator[dict[str, Any]]:
    """Find certificates without an outcome: none yet, or none that was on record at the size in question."""
    # Both parts are short: what is pending is with the token, and pages follow each other within minutes.
    source = (
        "(SELECT certificate FROM open_intent UNION SELECT certificate FROM outcome WHERE seq >= :size) p"
        " CROSS JOIN certificate c ON c.seq = p.certificate"
    )
    conditions = ["p.certificate >= :low", "p.certificate < :high", *_all_conditions(search)]
    bounds: dict[str, object] = {"low": search.low, "high": search.high}
    return merge_newest(snapshot, [(_sql(source, conditions, "c.seq"), search.values | bounds)])


def _find_by_principal(snapshot: Snapshot, search: _Search) -> Iterator[dict[str, Any]]:
    source = "holding h INDEXED BY holding_principal CROSS JOIN certificate c ON c.seq = h.id >> 8"
    conditions = ["h.principal = :held", "h.shelf = :shelf", "h.id >= :low", "h.id < :high"]
    conditions += [f"+c.{column} = :{column}" for column in search.equal]
    sql = _sql(source, [*conditions, *_conditions(search, principal=False)], "h.id")
    name = "SELECT id FROM principal WHERE principal = ?"
    ids = [id_ for (id_,) in snapshot.db.execute(name, (search.wanted.principal,)).fetchall()]
    queries = []
    for span in _spans(snapshot, search):
        bounds = {"shelf": span.shelf, "low": first_holding(span.low), "high": first_holding(span.high)}
        queries += [(sql, search.values | bounds | {"held": id_}) for id_ in ids]
    return merge_newest(snapshot, queries)


def _spans(snapshot: Snapshot, search: _Search) -> list[Span]:
    """Return the ranges outside of which there is nothing of the type and the state that are asked for."""
    state, type_ = search.wanted.state, search.wanted.type

    def is_wanted(shelf: int) -> bool:
        if type_ is not None and is_host(shelf) != (type_ == "host"):
            return False
        if state == "failed":
            return is_failed(shelf)
        if state == "revoked":
            return is_revoked(shelf)
        return state is None or not is_failed(shelf)

    spans = find_spans(snapshot, is_wanted, search.low, search.high)
    if state == "active":
        return [span.only_live(snapshot, search.now_s) for span in spans]
    if state == "expired":
        return [span.only_expired(snapshot, search.now_s) for span in spans]
    return spans


def _all_conditions(search: _Search) -> list[str]:
    equal = [f"+c.{column} = :{column}" for column in search.equal]
    type_ = search.wanted.type
    of_type = [] if type_ is None else [f"(c.shelf & 128 <> 0) = {int(type_ == 'host')}"]
    return [*equal, *of_type, *_conditions(search)]


def _conditions(search: _Search, *, principal: bool = True) -> list[str]:
    conditions = [] if search.wanted.state is None else [_STATES[search.wanted.state]]
    if principal and search.wanted.principal is not None:
        conditions.append(
            "EXISTS (SELECT 1 FROM holding x JOIN principal p ON p.id = +x.principal"
            " WHERE x.id >= c.seq << 8 AND x.id < (c.seq + 1) << 8 AND +p.principal = :principal)"
        )
    return conditions


def _bounds(span: Span) -> dict[str, object]:
    return {"shelf": span.shelf, "low": span.low, "high": span.high}


def _sql(source: str, conditions: list[str], order: str) -> str:
    # All of it is this module's own; values are parameters.
    return (
        f"SELECT {RECORD_COLUMNS} FROM {source} {RECORD_JOINS} "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} ORDER BY {order} DESC"
    )


def _seq_in(key_id: str, log_number: int) -> int:
    """Return the entry that a key id of this log names at its end; -1 if it names none."""
    match = _KEY_ID_END.fullmatch(key_id)
    return int(match[2]) if match is not None and int(match[1]) == log_number else -1
