"""The index is the ledger and nothing else: however it was built, and held against a model of its own."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.authority.issuing.releases import Release
from appliance.index.access import AccessQuery, CertifiedAccess, find_access
from appliance.index.projection import OutOfOrder, Projection
from appliance.index.queries import Index, IndexUnavailable
from appliance.index.schema import open_for_reading
from appliance.index.search import CertificateFilter, find_certificates
from appliance.requests import UserRequest
from appliance.ssh.certificate import decode_tbs
from audit.entry import Entry, decode_entry
from audit.stores.sqlite import SqliteReader
from support.authority import NOW_MS, identity, running_authority
from support.ssh_examples import public_key


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """Return a log of forty requests, some refused, every third certificate revoked."""
    path = tmp_path_factory.mktemp("log") / "ledger.db"
    with running_authority(path) as authority:
        for number in range(40):
            subject = "alice" if number % 4 else "mallory"
            request = UserRequest(public_key=public_key("ed25519", number + 1), ttl_s=60 * (number + 1))
            reply = authority.ask(identity(subject), request)
            if isinstance(reply, Release) and number % 3 == 0:
                authority.revoke(serial=str(reply.certificates[0].content.serial))
        authority.wait(authority.ask_later(identity(), UserRequest(public_key=public_key("ed25519", 99))))
    reader = SqliteReader(path)
    found = [decode_entry(raw) for raw in reader.entries(0, reader.size())]
    reader.close()
    return found


def dump(path: Path) -> dict[str, list[str]]:
    db = open_for_reading(path)
    try:
        return {name: sorted(map(repr, db.query(f"SELECT * FROM [{name}]"))) for name in db.table_names()}
    finally:
        db.conn.close()


def build(path: Path, entries: Sequence[Entry], cuts: Sequence[int]) -> Path:
    for start, end in zip([0, *cuts], [*cuts, len(entries)], strict=True):
        projection = Projection.open(path)  # opened anew each time, as after a crash
        projection.apply(entries[start:end])
        projection.close()
    return path


def test_index_is_the_same_however_its_entries_came_in(tmp_path: Path, entries: list[Entry]) -> None:
    whole = dump(build(tmp_path / "whole.db", entries, []))
    for seed in range(5):
        cuts = sorted(random.Random(seed).sample(range(1, len(entries)), 7))
        assert dump(build(tmp_path / f"{seed}.db", entries, cuts)) == whole


def test_portion_that_fails_leaves_nothing_of_itself(tmp_path: Path, entries: list[Entry]) -> None:
    path = build(tmp_path / "index.db", entries[:20], [])
    before = dump(path)
    projection = Projection.open(path)
    with pytest.raises(OutOfOrder):
        projection.apply(entries[21:])
    broken = [*entries[20:25], entries[0].__class__(**{**_fields(entries[25]), "data": {}})]
    with pytest.raises(KeyError):
        projection.apply(broken)
    projection.close()
    assert dump(path) == before


def _fields(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__dataclass_fields__}


def model(entries: Sequence[Entry], at_ms: int) -> set[tuple[str, str, str]]:
    """Say from the entries alone who has which principal at a moment."""
    intents = {entry.seq: entry for entry in entries if entry.kind == "certificate.intent"}
    live = set()
    revoked = {
        int(str(entry.data["serial"])) & (1 << 48) - 1
        for entry in entries
        if entry.kind == "certificate.revoked" and entry.time_ms <= at_ms
    }
    for entry in entries:
        if entry.kind != "certificate.issued" or entry.time_ms > at_ms:
            continue
        intent: Any = intents[int(str(entry.data["intent"]))]
        content = decode_tbs(base64.b64decode(intent.data["tbs"]))
        if intent.seq in revoked or not content.valid_after <= at_ms // 1000 < content.valid_before:
            continue
        who = f"{intent.data['identity']['provider']}:{intent.data['identity']['subject']}"
        live |= {(who, principal, str(content.serial)) for principal in content.principals}
    return live


@pytest.mark.parametrize("after_s", [-1, 0, 59, 60, 61, 600, 2400, 100_000])
def test_access_at_any_moment_is_what_the_entries_say(
    tmp_path: Path, entries: list[Entry], after_s: int
) -> None:
    index = Index(build(tmp_path / "index.db", entries, []))
    at_ms = NOW_MS + 1000 * after_s
    with index.snapshot() as snapshot:
        found = find_access(snapshot, AccessQuery(at_ms=at_ms), limit=500).rows
        on_host = AccessQuery(at_ms=at_ms, host="web-1.acme.example")
        by_host = find_access(snapshot, on_host, limit=500).rows if after_s >= 0 else ()
    rows = [row for row in found if isinstance(row, CertifiedAccess)]
    assert {(row.certificate.subject, row.principal, row.certificate.serial) for row in rows} == model(
        entries, at_ms
    )
    assert len(by_host) == len(rows) == len(found)
    assert all(row.place.hosts == ("web-1.acme.example",) for row in found)


def test_search_by_each_state_covers_every_certificate_once(tmp_path: Path, entries: list[Entry]) -> None:
    index = Index(build(tmp_path / "index.db", entries, []))
    now_s = NOW_MS // 1000 + 600
    with index.snapshot() as snapshot:
        by_state = {
            state: {
                each.serial
                for each in find_certificates(
                    snapshot, CertificateFilter(state=state), now_s=now_s, cursor=None, limit=500
                ).certificates
            }
            for state in ("pending", "active", "expired", "revoked", "failed")
        }
        everything = find_certificates(snapshot, CertificateFilter(), now_s=now_s, cursor=None, limit=500)
    assert sum(map(len, by_state.values())) == len(everything.certificates) > 40
    assert by_state["revoked"]
    assert by_state["expired"]
    for each in everything.certificates:
        assert each.serial in by_state[each.state(now_s)]


def test_index_that_is_not_there_says_so_and_is_read_once_it_is(tmp_path: Path, entries: list[Entry]) -> None:
    index = Index(tmp_path / "index.db")
    with pytest.raises(IndexUnavailable, match="there is no index yet"), index.snapshot():
        pass
    build(tmp_path / "index.db", entries, [])
    with index.snapshot() as snapshot:
        assert snapshot.size == len(entries)


def test_index_that_was_built_anew_is_read_anew(tmp_path: Path, entries: list[Entry]) -> None:
    index = Index(build(tmp_path / "index.db", entries[:20], []))
    with index.snapshot() as snapshot:
        assert snapshot.size == 20
    for path in tmp_path.glob("index.db*"):
        path.unlink()
    build(tmp_path / "index.db", entries, [])
    with index.snapshot() as snapshot:
        assert snapshot.size == len(entries)
