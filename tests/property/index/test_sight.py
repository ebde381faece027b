"""What somebody sees who sees some customers is what there is of theirs, page by page, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.index.access import AccessQuery, find_access
from appliance.index.paging import list_hosts
from appliance.index.projection import Projection
from appliance.index.queries import Index, Snapshot
from appliance.index.render import render_access
from appliance.index.search import CertificateFilter, StateName, find_certificates
from audit.entry import Entry
from support.histories import CUSTOMERS, START_MS, histories

NOW_S = START_MS // 1000 + 61
sights = st.sets(st.sampled_from((*CUSTOMERS, "elsewhere"))).map(frozenset)
states: st.SearchStrategy[StateName | None] = st.sampled_from(
    (None, "pending", "active", "expired", "revoked", "failed")
)


@contextmanager
def opened(entries: Sequence[Entry]) -> Iterator[Snapshot]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "index.db"
        projection = Projection.open(path)
        projection.apply(entries)
        try:
            with Index(path).snapshot() as snapshot:
                yield snapshot
        finally:
            projection.close()


def search(snapshot: Snapshot, wanted: CertificateFilter, limit: int) -> list[tuple[str, str | None]]:
    """Return serial and customer of all that is found, in pages."""
    found: list[tuple[str, str | None]] = []
    cursor: str | None = None
    while True:
        page = find_certificates(snapshot, wanted, now_s=NOW_S, cursor=cursor, limit=limit)
        found += [(each.serial, each.customer) for each in page.certificates]
        if (cursor := page.cursor) is None:
            return found


def reach(snapshot: Snapshot, query: AccessQuery, limit: int) -> list[dict[str, Any]]:
    """Return all rows, in pages."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = find_access(snapshot, query, cursor=cursor, limit=limit)
        rows += render_access(page, query.basis)["access"]
        if (cursor := page.cursor) is None:
            return rows


@settings(max_examples=25, deadline=None)
@given(histories(), sights, states, st.none() | st.sampled_from(CUSTOMERS))
def test_search_finds_what_is_theirs_in_the_same_order(
    entries: Sequence[Entry], customers: frozenset[str], state: StateName | None, customer: str | None
) -> None:
    with opened(entries) as snapshot:
        everything = search(snapshot, CertificateFilter(state=state, customer=customer), 500)
        seen = search(snapshot, CertificateFilter(state=state, customer=customer, customers=customers), 2)
    assert seen == [each for each in everything if each[1] in customers]


@settings(max_examples=25, deadline=None)
@given(
    histories(), sights, st.sampled_from(("certificates", "policy")), st.none() | st.sampled_from(CUSTOMERS)
)
def test_access_is_what_is_theirs_in_the_same_order(
    entries: Sequence[Entry], customers: frozenset[str], basis: Any, customer: str | None
) -> None:
    with opened(entries) as snapshot:
        query = AccessQuery(at_ms=1000 * NOW_S, basis=basis, customer=customer)
        everything = reach(snapshot, query, 500)
        seen = reach(
            snapshot, AccessQuery(at_ms=1000 * NOW_S, basis=basis, customer=customer, customers=customers), 2
        )
    assert seen == [each for each in everything if each["customer"] in customers]


@settings(max_examples=15, deadline=None)
@given(histories(), sights)
def test_hosts_are_what_is_theirs_in_the_same_order(
    entries: Sequence[Entry], customers: frozenset[str]
) -> None:
    with opened(entries) as snapshot:
        everything = list_hosts(snapshot, cursor=None, limit=100).records
        first = list_hosts(snapshot, cursor=None, limit=1, customers=customers)
        rest = (
            ()
            if first.cursor is None
            else list_hosts(snapshot, cursor=first.cursor, limit=100, customers=customers).records
        )
    assert [*first.records, *rest] == [each for each in everything if each.customer in customers]
