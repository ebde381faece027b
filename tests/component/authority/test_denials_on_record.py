"""Refusals of requests that are longer than an entry: on record, and no hindrance to other counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from appliance.authority.issuing.denials import INTERVAL_MS
from appliance.errors import Refusal
from appliance.evidence.verify import verify_evidence
from appliance.requests import UserRequest
from audit.entry import MAX_ENTRY_BYTES, canonical_json
from audit.stores.sqlite import SqliteReader
from audit.verifier import SqliteSource, Verdict, verify_log
from support.authority import VKEY, identity
from support.rehearsal import Rehearsal, rehearsal
from support.ssh_examples import public_key

KEY = public_key("ed25519", 2)
ORDINARY = UserRequest(public_key=KEY, logins=("root",))
LONG = UserRequest(
    public_key=KEY,
    hosts=tuple(f"{number:03}" + ("." + "h" * 55) * 4 for number in range(256)),
    host_groups=tuple(f"{number:03}" + "g" * 60 for number in range(256)),
)


def refuse(authority: Rehearsal, subject: str, request: UserRequest) -> None:
    refusal = authority.ask(identity(subject, groups=frozenset({"mtls:all"})), request)
    assert isinstance(refusal, Refusal)
    assert refusal.slug == "policy-denied"


def denials(path: Path) -> list[dict[str, Any]]:
    reader = SqliteReader(path)
    entries = [json.loads(raw) for raw in reader.entries(0, reader.size())]
    reader.close()
    return [entry["data"] for entry in entries if entry["kind"] == "certificate.denied"]


def test_request_longer_than_an_entry_is_on_record_from_the_first_refusal_and_takes_nobody_s_counts(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.db"
    assert len(canonical_json(LONG.to_data())) > MAX_ENTRY_BYTES
    with rehearsal(path) as authority:
        refuse(authority, "mallory", LONG)
        assert [(each["identity"]["subject"], each["count"]) for each in denials(path)] == [("mallory", 1)]
        for _ in range(3):
            refuse(authority, "bob", ORDINARY)
            refuse(authority, "mallory", LONG)
        authority.advance(INTERVAL_MS / 1000)
    found = [(each["identity"]["subject"], each["count"]) for each in denials(path)]
    assert found == [("mallory", 1), ("bob", 1), ("mallory", 3), ("bob", 2)]
    assert ["shortened" in each for each in denials(path)] == [True, False, True, False]
    with SqliteSource(path) as source:
        report = verify_log(source, pinned_key=VKEY)
        assert report.verdict is Verdict.VERIFIED, report.to_json()
    with SqliteSource(path) as source:
        evidence = verify_evidence(source, pinned_key=VKEY)
    assert evidence.verdict is Verdict.VERIFIED, evidence
    # Bob's first: Mallory's is not on record as a whole, and the others are counts.
    assert evidence.checked["replayed refusals"] == 1
