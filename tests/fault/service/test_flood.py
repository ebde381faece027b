"""The flood's short form; scripts/flood is the long one."""

from __future__ import annotations

from pathlib import Path

from support.flood import flood


def test_flood_of_hostile_connections_leaves_nothing_behind(tmp_path: Path) -> None:
    report = flood(tmp_path, seconds=12, connections=640, seed=1, say=print)
    assert not report.problems
    assert report.statuses["201"] > 100
    assert sum(count for status, count in report.statuses.items() if status.startswith("4")) > 20
    assert report.behaved["201"] > 0
