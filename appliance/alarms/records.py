"""Alarms in the index: read one entry's at a time, counted, and rendered for whoever they are brought to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.clock import format_rfc3339_ms
from appliance.index.queries import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRecord:
    """An alarm and the entry that it is about, -1 for a HOLD; ``number`` counts those of one entry."""

    seq: int
    number: int
    time_ms: int
    event: str
    severity: str
    summary: str
    details: Mapping[str, Any]

    def render(self, origin: str) -> dict[str, Any]:
        """Return it as JSON; log, entry and number together are its name, by which repetitions are known."""
        about = {} if self.seq < 0 else {"entry": self.seq, "number": self.number}
        return {
            "v": 1,
            "log": origin,
            **about,
            "time": format_rfc3339_ms(self.time_ms),
            "event": self.event,
            "severity": self.severity,
            "summary": _in_one_line(self.summary),
            "details": dict(self.details),
        }


def next_alarms(snapshot: Snapshot, start: int) -> list[AlarmRecord]:
    """Return the alarms of the first entry from ``start`` on that has any; none, if none has."""
    sql = "SELECT * FROM alarm WHERE seq = (SELECT min(seq) FROM alarm WHERE seq >= :start) ORDER BY number"
    return [_record(row) for row in snapshot.rows(sql, start=start)]


def last_alarms(snapshot: Snapshot, limit: int) -> list[AlarmRecord]:
    """Return the newest alarms, the newest first."""
    sql = "SELECT * FROM alarm ORDER BY seq DESC, number DESC LIMIT :limit"
    return [_record(row) for row in snapshot.rows(sql, limit=limit)]


def count_alarms(snapshot: Snapshot) -> dict[tuple[str, str], int]:
    """Return how many there are on record, by event and severity."""
    sql = "SELECT event, severity, count(*) AS n FROM alarm GROUP BY event, severity"
    return {(row["event"], row["severity"]): row["n"] for row in snapshot.rows(sql)}


def count_from(snapshot: Snapshot, start: int) -> int:
    """Return how many there are from an entry on: what whoever is there has still to bring."""
    return int(snapshot.value("SELECT count(*) FROM alarm WHERE seq >= ?", start))


def _in_one_line(text: str) -> str:
    """Escape what is not printable: a requester's words may be in it, and are to make no lines of a log."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _record(row: Mapping[str, Any]) -> AlarmRecord:
    return AlarmRecord(**{**row, "details": json.loads(row["details"])})
