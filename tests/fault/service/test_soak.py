"""The soak test's short form; scripts/soak is the long one."""

from __future__ import annotations

from pathlib import Path

from support.soak import soak


def test_a_minute_of_mixed_load_on_a_disturbed_token(tmp_path: Path) -> None:
    report = soak(tmp_path, seconds=60, seed=1, say=print)
    assert not report.problems
    assert report.held > 100
    assert sum(report.disturbances.values()) > 10
