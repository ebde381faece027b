"""Searching certificates: by every field, in every state, page by page."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, Literal

from appliance.errors import malformed
from appliance.explanations import no_person
from appliance.index.cursors import check_size, cursor_pattern, format_cursor, parse_cursor
from appliance.index.holdings import seq_of
from appliance.index.queries import MAX_PAGE, Snapshot
from appliance.index.records import CertificateRecord
from appliance.index.schema import key_number
from appliance.index.shelves import HOST, Shelf
from appliance.index.streams import Span, choose_driver, find_spans, holding_bounds, merge_highest
from appliance.policy.document import Policy
from appliance.policy.roles import ALL, Customers, narrow
from appliance.ssh.errors import SshFormatError
from appliance.ssh.keys import parse_fingerprint

CERTIFICATE_CURSOR: Final = cursor_pattern(1)
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
    """What certificates are searched for; None asks for nothing. Times are those of the intents.

    ``subject`` is an identity, or a person of the policy: then all that his accounts have.
    ``customers`` are all that whoever asks may see the certificates of.
    """

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
    customers: Customers = ALL


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
        Refusal: ``malformed-request``, the cursor, the limit or the fingerprint is none; ``not-found``, the
            subject is no person of the policy, and no ``provider:subject``;
            ``ledger-unavailable``, the index does not yet cover what the cursor speaks of.
    """
    if not 0 < limit <= MAX_PAGE:
        raise malformed("limit", f"got {limit}, expected 1 to {MAX_PAGE}")
    size, high = snapshot.size, snapshot.size
    if cursor is not None:
        (high,), size, now_s = parse_cursor(cursor, CERTIFICATE_CURSOR)
        check_size(size, snapshot.size)
    searches = [
        _Search(
            wanted=each,
            size=size,
            now_s=now_s,
            low=0 if wanted.since_ms is None else snapshot.first_at(wanted.since_ms),
            high=min(high, size if wanted.until_ms is None else snapshot.first_at(wanted.until_ms)),
            equal=_columns(each),
        )
        for one in _by_account(snapshot, wanted)
        for each in _by_customer(one)
    ]
    seqs = heapq.merge(*(_find(snapshot, search) for search in searches), reverse=True)
    records = (snapshot.certificate_at(seq, size) for seq in seqs)
    exact = (record for record in records if record is not None and _is_exact(wanted, record))
    found = tuple(islice(exact, limit + 1))
    more = len(found) > limit
    after = format_cursor(after=[found[limit - 1].seq], size=size, at=now_s) if more else None
    return Page(certificates=found[:limit], cursor=after, size=size, now_s=now_s)


def _by_customer(wanted: CertificateFilter) -> list[CertificateFilter]:
    """Return a filter for each customer whose certificates may be seen; none if none of those asked for may.

    So what others have is never looked at, and tells nothing by the time that it takes.
    """
    if wanted.customers is None:
        return [wanted]
    return [replace(wanted, customer=name) for name in narrow(wanted.customer, wanted.customers)]


def _by_account(snapshot: Snapshot, wanted: CertificateFilter) -> list[CertificateFilter]:
    """Return what one question about a person is: one for each account that the policy in force gives him.

    Raises:
        Refusal: ``not-found``; it has no such person.
    """
    name = wanted.subject
    if name is None or ":" in name:
        return [wanted]
    person = (snapshot.policy() or Policy()).persons.get(name)
    if person is None:
        raise no_person(name)
    return [replace(wanted, subject=identity) for identity in person.identities]


def _is_exact(wanted: CertificateFilter, record: CertificateRecord) -> bool:
    """Say whether a record is one that is wanted, and not only one that its index has in the same place."""
    return (wanted.key_id is None or wanted.key_id == record.key_id) and (
        wanted.fingerprint is None or wanted.fingerprint == record.key_fingerprint
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


def _find(snapshot: Snapshot, search: _Search) -> Iterator[int]:
    """Yield the seqs of the intents, the highest first."""
    wanted = search.wanted
    if wanted.key_id is not None:
        return _find_one(snapshot, search, _seq_in(wanted.key_id, snapshot.log_number))
    if wanted.state == "pending":
        return _find_pending(snapshot, search)
    if wanted.state == "expired":
        return heapq.merge(
            _find_revoked_since(snapshot, search), _find_on_shelves(snapshot, search), reverse=True
        )
    return _find_on_shelves(snapshot, search)


def _find_on_shelves(snapshot: Snapshot, search: _Search) -> Iterator[int]:
    wanted = search.wanted
    selective = {"key", "host"} & search.equal.keys()
    if wanted.principal is not None and not selective:
        return _find_by_principal(snapshot, search)
    source, conditions = choose_driver(search.equal)
    conditions += ["c.shelf = :shelf", "c.seq >= :low", "c.seq < :high", *_conditions(search)]
    spans = _spans(snapshot, search)
    return merge_highest(
        snapshot, _sql("c.seq", source, conditions), [search.values | _bounds(span) for span in spans]
    )


def _find_one(snapshot: Snapshot, search: _Search, seq: int) -> Iterator[int]:
    """Find the certificate whose intent is one entry, if it is all that is asked for."""
    if not search.low <= seq < search.high:
        return iter(())
    conditions = ["c.seq = :seq", "c.seq < :high", *_all_conditions(search)]
    values = search.values | {"seq": seq, "high": search.high}
    return merge_highest(snapshot, _sql("c.seq", "certificate c", conditions), [values])


def _find_pending(snapshot: Snapshot, search: _Search) -> Iterator[int]:
    """Find certificates without an outcome: none yet, or none that was on record at the size in question."""
    # Both parts are short: what is pending is with the token, and pages follow each other within minutes.
    source = (
        "(SELECT certificate FROM open_intent UNION"
        " SELECT certificate FROM outcome INDEXED BY outcome_seq WHERE seq >= :size) p"
        " CROSS JOIN certificate c ON c.seq = p.certificate"
    )
    conditions = ["+p.certificate >= :low", "+p.certificate < :high", *_all_conditions(search)]
    values = search.values | {"low": search.low, "high": search.high}
    return merge_highest(snapshot, _sql("c.seq", source, conditions), [values])


def _find_revoked_since(snapshot: Snapshot, search: _Search) -> Iterator[int]:
    """Find what was revoked only after the size in question, and so stands on another shelf by now."""
    source = "revocation n INDEXED BY revocation_seq CROSS JOIN certificate c ON c.seq = n.certificate"
    conditions = ["n.seq >= :size", "+c.seq >= :low", "+c.seq < :high", *_all_conditions(search)]
    values = search.values | {"low": search.low, "high": search.high}
    return merge_highest(snapshot, _sql("c.seq", source, conditions), [values])


def _find_by_principal(snapshot: Snapshot, search: _Search) -> Iterator[int]:
    source = "holding h INDEXED BY holding_principal CROSS JOIN certificate c ON c.seq = h.id >> 8"
    conditions = ["h.principal = :held", "h.shelf = :shelf", "h.id >= :low", "h.id < :high"]
    conditions += [f"+c.{column} = :{column}" for column in search.equal]
    sql = _sql("h.id", source, [*conditions, *_conditions(search, principal=False)])
    name = "SELECT id FROM principal WHERE principal = ?"
    ids = [id_ for (id_,) in snapshot.db.execute(name, (search.wanted.principal,)).fetchall()]
    values = [
        search.values | holding_bounds(span) | {"held": id_}
        for span in _spans(snapshot, search)
        for id_ in ids
    ]
    return (seq_of(holding) for holding in merge_highest(snapshot, sql, values))


def _spans(snapshot: Snapshot, search: _Search) -> list[Span]:
    """Return the ranges outside of which there is nothing of the type and the state that are asked for."""
    state, type_ = search.wanted.state, search.wanted.type

    def is_wanted(shelf: Shelf) -> bool:
        if type_ is not None and shelf.is_host != (type_ == "host"):
            return False
        if state == "failed":
            return shelf.is_failed
        if state == "revoked":
            return shelf.is_revoked
        if state == "expired":
            return not (shelf.is_failed or shelf.is_revoked)
        return state is None or not shelf.is_failed

    spans = find_spans(snapshot, is_wanted, search.low, search.high)
    if state == "active":
        return [span.only_live(snapshot, search.now_s) for span in spans]
    if state == "expired":
        return [span.only_expired(snapshot, search.now_s) for span in spans]
    return spans


def _all_conditions(search: _Search) -> list[str]:
    equal = [f"+c.{column} = :{column}" for column in search.equal]
    type_ = search.wanted.type
    of_type = [] if type_ is None else [f"(c.shelf & {HOST} <> 0) = {int(type_ == 'host')}"]
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
    return {"shelf": span.shelf.number, "low": span.low, "high": span.high}


def _sql(key: str, source: str, conditions: list[str]) -> str:
    # All of it is this module's own; values are parameters.
    return (
        f"SELECT {key} FROM {source} LEFT JOIN outcome o ON o.certificate = c.seq "  # noqa: S608
        "LEFT JOIN revocation r ON r.certificate = c.seq "
        f"WHERE {' AND '.join(conditions)} ORDER BY {key} DESC"
    )


def _seq_in(key_id: str, log_number: int) -> int:
    """Return the entry that a key id of this log names at its end; -1 if it names none."""
    match = _KEY_ID_END.fullmatch(key_id)
    return int(match[2]) if match is not None and int(match[1]) == log_number else -1
