"""The index answers what a walk through the whole ledger answers, and settled answers stay as they are."""

from __future__ import annotations

import base64
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from appliance.errors import Refusal
from appliance.index.access import AccessQuery, find_access
from appliance.index.inspect import inspect_certificate
from appliance.index.projection import Projection
from appliance.index.queries import Index, Snapshot
from appliance.index.render import render_access
from appliance.index.schema import open_for_reading, state_hash
from appliance.index.search import CertificateFilter, find_certificates
from appliance.ssh.certificate import attach_signature, parse_certificate_blob
from appliance.ssh.keys import fingerprint
from audit.entry import Entry
from support.histories import (
    CUSTOMERS,
    HOSTS,
    LOGINS,
    START_MS,
    SUBJECTS,
    USER_PRINCIPALS,
    begin,
    histories,
)
from support.slow_index import (
    access_by_certificates,
    access_by_policy,
    accounts,
    certificates,
    hosts,
    parse,
    policy,
    search,
    until,
)
from support.ssh_examples import public_key

KEYS = [public_key("ed25519", seed) for seed in (1, 2, 3)]

moments = st.sampled_from((0, 1, 500, 999, 1_000, 1_500, 60_000, 61_000, 64_999, 65_000, 400_000)).map(
    lambda after_ms: START_MS + after_ms
)


def maybe(values: Sequence[str]) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(values)


def narrowed(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw values for a few of these fields, mostly for none or one: with many hardly anything is left."""
    none: st.SearchStrategy[list[str]] = st.just([])
    names = none | none | st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen}))


filters = narrowed(
    {
        "subject": st.sampled_from([f"oidc:{name}" for name in (*SUBJECTS, "nobody")]),
        "key_id": st.integers(13, 40).map(lambda seq: f"oidc:alice#1.{seq}"),
        "principal": st.sampled_from([*USER_PRINCIPALS, *HOSTS]),
        "host": st.sampled_from(HOSTS),
        "customer": st.sampled_from(CUSTOMERS),
        "type": st.sampled_from(["user", "host"]),
        "state": st.sampled_from(["pending", "active", "expired", "revoked", "failed"]),
        "since_ms": moments,
        "until_ms": moments,
    },
)
questions = narrowed(
    {
        "subject": st.sampled_from(
            [*(f"oidc:{name}" for name in SUBJECTS), "oidc:team", "mtls:dora", "alice"]
        ),
        "host": st.sampled_from(HOSTS),
        "host_group": st.sampled_from(["web", "db", "eu", "beta"]),
        "login": st.sampled_from(LOGINS),
        "customer": st.sampled_from(CUSTOMERS),
    },
)
bases = st.sampled_from(["certificates", "policy"])


@contextmanager
def written(entries: Sequence[Entry]) -> Iterator[tuple[Index, Projection]]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "index.db"
        projection = Projection.open(path)
        projection.apply(entries)
        try:
            yield Index(path), projection
        finally:
            projection.close()


def ask(snapshot: Snapshot, asked: dict[str, Any], basis: Any, at_ms: int) -> list[dict[str, Any]] | str:
    """Return all rows of an answer, asked for two at a time; or why there is none."""
    query = AccessQuery(at_ms=at_ms, basis=basis, **asked)
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    try:
        while True:
            page = find_access(snapshot, query, cursor=cursor, limit=2)
            rows += json.loads(json.dumps(render_access(page, basis)))["access"]
            if (cursor := page.cursor) is None:
                return rows
    except Refusal as refusal:
        return refusal.slug


def compute(entries: list[dict[str, Any]], asked: dict[str, Any], basis: str, at_ms: int) -> Any:
    then = until(entries, at_ms)
    _, document = policy(then)
    groups = {group["name"] for group in document.get("host_group", [])}
    if asked.get("host_group", "web") not in groups and "host_group" in asked:
        return "not-found"
    if "host" in asked and asked["host"] not in hosts(then):
        return "not-found"
    if "subject" in asked and accounts(then, asked["subject"]) is None:
        return "not-found"
    answer = access_by_certificates if basis == "certificates" else access_by_policy
    return answer(entries, asked, at_ms)


def agree(found: Any, expected: Any) -> bool:
    if isinstance(found, str) or isinstance(expected, str):
        return bool(found == expected)
    return len(found) == len(expected) and all(
        row.items() >= wanted.items()
        and all(row.get(name) == wanted.get(name) for name in ("locked", "leave", "opens"))
        for row, wanted in zip(found, expected, strict=True)
    )


def near(entries: Sequence[Entry], back: int, after_ms: int) -> int:
    """Return a moment at, just before or some time after one of the last entries."""
    return entries[-1 - back % len(entries)].time_ms + after_ms


backs = st.integers(0, 3) | st.integers(0, 20)
afters_ms = st.sampled_from((-1, 0, 0, 1, 500, 1_000, 61_000))


def test_what_is_drawn_has_answers_of_all_sorts() -> None:
    seen: Counter[str] = Counter()

    @given(histories(), questions, bases, backs, afters_ms)
    @settings(max_examples=150, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    def draw(entries: list[Entry], asked: dict[str, Any], basis: str, back: int, after_ms: int) -> None:
        at_ms = near(entries, back, after_ms)
        rows = compute(parse(entries), asked, basis, at_ms)
        if isinstance(rows, str) or not rows:
            return
        settled = at_ms < entries[-1].time_ms
        seen.update([basis, *(["settled"] if settled else [])])
        seen.update({sort for sort in ("locked", "leave", "opens") if any(sort in row for row in rows)})

    draw()
    assert min(seen[sort] for sort in ("certificates", "policy", "settled")) > 15, seen
    assert min(seen[sort] for sort in ("locked", "leave", "opens")) > 3, seen


@given(histories(), questions, bases, backs, afters_ms)
@settings(max_examples=150, deadline=None)
def test_access_at_any_moment_is_what_the_entries_say(
    entries: list[Entry], asked: dict[str, Any], basis: str, back: int, after_ms: int
) -> None:
    at_ms = near(entries, back, after_ms)
    with written(entries) as (index, _), index.snapshot() as snapshot:
        found = ask(snapshot, asked, basis, at_ms)
    expected = compute(parse(entries), asked, basis, at_ms)
    assert agree(found, expected), (found, expected)


@given(histories(), questions, bases, backs, afters_ms, st.data())
@settings(max_examples=60, deadline=None)
def test_settled_answer_stays_as_the_ledger_grows(
    entries: list[Entry], asked: dict[str, Any], basis: Any, back: int, after_ms: int, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(len(entries) // 2, len(entries)))
    at_ms = near(entries[:cut], back, after_ms)
    with written(entries[:cut]) as (index, projection):
        with index.snapshot() as snapshot:
            settled = snapshot.prefix(at_ms).settled
            before = ask(snapshot, asked, basis, at_ms)
        assert settled == (entries[cut - 1].time_ms > at_ms)
        projection.apply(entries[cut:])
        with index.snapshot() as snapshot:
            after = ask(snapshot, asked, basis, at_ms)
    assert not settled or before == after


@given(histories(), filters, st.none() | st.sampled_from(KEYS), moments)
@settings(max_examples=80, deadline=None)
def test_search_finds_what_the_entries_say(
    entries: list[Entry], wanted: dict[str, Any], key: Any, moment: int
) -> None:
    wanted = wanted if key is None else wanted | {"fingerprint": fingerprint(key)}
    now_s = max(moment, entries[-1].time_ms) // 1000
    with written(entries) as (index, _), index.snapshot() as snapshot:
        found = list(pages(snapshot, wanted, now_s))
    assert found == search(parse(entries), wanted, now_s)


def pages(snapshot: Snapshot, wanted: dict[str, Any], now_s: int) -> Iterator[tuple[int, str]]:
    cursor: str | None = None
    while True:
        page = find_certificates(snapshot, CertificateFilter(**wanted), now_s=now_s, cursor=cursor, limit=2)
        yield from ((each.seq, each.state(page.now_s)) for each in page.certificates)
        if (cursor := page.cursor) is None:
            return


@given(histories(), filters, questions, bases, st.data())
@settings(max_examples=40, deadline=None)
def test_pages_are_of_one_ledger_size_however_it_grows_between_them(
    entries: list[Entry], wanted: dict[str, Any], asked: dict[str, Any], basis: Any, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(len(entries) // 2, len(entries)))
    now_ms = entries[cut - 1].time_ms
    raw = parse(entries[:cut])
    query = AccessQuery(at_ms=now_ms, basis=basis, **asked)
    with written(entries[:cut]) as (index, projection):
        with index.snapshot() as snapshot:
            page = find_certificates(
                snapshot, CertificateFilter(**wanted), now_s=now_ms // 1000, cursor=None, limit=1
            )
            try:
                rows = find_access(snapshot, query, limit=1)
            except Refusal:
                rows = None
        projection.apply(entries[cut:])
        found = [(each.seq, each.state(page.now_s)) for each in page.certificates]
        listed = [] if rows is None else json.loads(json.dumps(render_access(rows, basis)))["access"]
        with index.snapshot() as snapshot:
            # The clock goes on too: the cursor's moment counts.
            later_s = now_ms // 1000 + 1_000
            while page.cursor is not None:
                page = find_certificates(
                    snapshot, CertificateFilter(**wanted), now_s=later_s, cursor=page.cursor, limit=1
                )
                found += [(each.seq, each.state(page.now_s)) for each in page.certificates]
            while rows is not None and rows.cursor is not None:
                later = AccessQuery(at_ms=now_ms + 10**6, basis=basis, **asked)
                rows = find_access(snapshot, later, cursor=rows.cursor, limit=1)
                listed += json.loads(json.dumps(render_access(rows, basis)))["access"]
    assert found == search(raw, wanted, now_ms // 1000)
    assert rows is None or agree(listed, compute(raw, asked, basis, now_ms))


@given(histories(), moments)
@settings(max_examples=20, deadline=None)
def test_inspection_says_what_became_of_each_certificate(entries: list[Entry], moment: int) -> None:
    now_s = max(moment, entries[-1].time_ms) // 1000
    with written(entries) as (index, _), index.snapshot() as snapshot:
        for each in certificates(parse(entries)):
            tbs = base64.b64decode(each.data["tbs"])
            certificate = parse_certificate_blob(attach_signature(tbs, b"signature"))
            found = inspect_certificate(snapshot, certificate, now_s)
            issued = each.state(now_s) in {"active", "expired", "revoked"}
            assert found["on_record"] == issued
            assert found["state"] == (each.state(now_s) if issued else "unknown")
            if issued:
                assert (found["subject"], found["policy"]) == (each.subject, each.data["policy"])
                revoked = (each.revocation or {}).get("data", {}).get("reason")
                assert found.get("revocation", {}).get("reason") == revoked
            other = parse_certificate_blob(attach_signature(tbs, b"another"))
            assert not inspect_certificate(snapshot, other, now_s)["on_record"]


@given(histories(max_steps=60), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_index_that_follows_in_portions_is_the_one_that_is_built_from_nothing(
    entries: list[Entry], random: Any
) -> None:
    cuts = sorted(random.sample(range(1, len(entries)), min(5, len(entries) - 1)))
    with tempfile.TemporaryDirectory() as directory:
        hashes = set()
        for name, ends in (("whole", []), ("portions", cuts)):
            path = Path(directory) / name
            for start, end in zip([0, *ends], [*ends, len(entries)], strict=True):
                projection = Projection.open(path)  # opened anew each time, as after a crash
                projection.apply(entries[start:end])
                projection.close()
            db = open_for_reading(path)
            hashes.add(state_hash(db))
            db.conn.close()
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "cursor", ["", "x", "1", "1-2", "1-2-3-", "-1-2-3", "1-2-3-4-5-6-7", "1-2-1234567890ab"]
)
def test_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    with written(begin().entries) as (index, _), index.snapshot() as snapshot:
        with pytest.raises(Refusal, match="cursor"):
            find_certificates(snapshot, CertificateFilter(), now_s=0, cursor=cursor, limit=1)
        with pytest.raises(Refusal, match="cursor"):
            find_access(snapshot, AccessQuery(at_ms=START_MS), cursor=cursor, limit=1)
