"""Access by policy where a grant has many lines: what is the same for all of them is found once."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.index.access import AccessQuery, find_access
from appliance.index.projection import Projection
from appliance.index.queries import Index
from appliance.policy.schedules import spans_of_day
from support.histories import START_MS, apply_text, begin, policy_text

YEAR_MS = 365 * 86_400_000


@pytest.mark.parametrize(("years", "rows"), [(0, 100), (5, 0)], ids=["shut today", "shut for good"])
def test_hours_are_looked_at_once_for_a_grant_and_not_for_each_member(
    tmp_path: Path, years: int, rows: int
) -> None:
    members = [f"oidc:u{number}" for number in range(2_000)]
    history = begin()
    who = ['{ groups = ["staff"] }']
    text = policy_text('role = "web"', members, who, ["root"], bare=False, limit='when = "office"')
    apply_text(history, text, holidays=["2025-11-24"])
    projection = Projection.open(tmp_path / "index.db")
    projection.apply(history.entries)
    projection.close()
    spans_of_day.cache_clear()
    with Index(tmp_path / "index.db").snapshot() as snapshot:
        query = AccessQuery(at_ms=START_MS + years * YEAR_MS, basis="policy")
        assert len(find_access(snapshot, query).rows) == rows
    looked = spans_of_day.cache_info()
    assert 0 < looked.hits + looked.misses < 2_000
