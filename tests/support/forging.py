"""Logs whose structure is sound, with whatever entries one likes, and what the verifier makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from appliance.evidence.verify import EvidenceReport, verify_evidence
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.ledger import Ledger
from audit.stores.sqlite import SqliteReader, SqliteStore
from audit.verifier import SqliteSource
from support.authority import LEDGER_KEY, NOW_MS, ORIGIN, VKEY

Data = dict[str, Any]
Entries = list[tuple[str, Data]]
NO_VERSIONS: Final[Mapping[int, int]] = MappingProxyType({})


def read_entries(path: Path) -> Entries:
    """Return what is in a ledger's file."""
    reader = SqliteReader(path)
    entries = [json.loads(raw) for raw in reader.entries(0, reader.size())]
    reader.close()
    return [(entry["kind"], entry["data"]) for entry in entries]


def judge(path: Path, entries: Entries, *, versions: Mapping[int, int] = NO_VERSIONS) -> EvidenceReport:
    """Write entries into a log that is sound in its structure, some in another version, and judge it."""
    ledger = Ledger.create(SqliteStore.create(path))
    with ledger.batch(NOW_MS) as batch:
        for place, (kind, data) in enumerate(entries):
            batch.append(kind, data, versions.get(place, 1))
    note = sign_checkpoint(Checkpoint(ORIGIN, ledger.size, ledger.root), LEDGER_KEY)
    with ledger.batch(NOW_MS) as batch:
        batch.add_checkpoint(note, ledger.size)
    ledger.close()
    with SqliteSource(path) as source:
        return verify_evidence(source, pinned_key=VKEY)


def find(entries: Entries, kind: str, number: int = 0) -> Data:
    """Return the data of an entry: of the first of its kind, or a later one."""
    return [data for each, data in entries if each == kind][number]
