"""When a feed is read again, and when it is complained about."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from appliance.calendars.feeds import FeedState
from appliance.config import FeedTable

FEED: Final = FeedTable.model_validate(
    {"name": "holidays", "file": Path("holidays.ics"), "person": "ada", "interval": "10m"}
)
NOW_MS: Final = 1_795_668_185_871
MINUTE_MS: Final = 60_000


def state(ago_ms: int, problem: str = "") -> FeedState:
    moment_ms = NOW_MS - ago_ms
    return FeedState(name=FEED.name, tried_ms=moment_ms, read_ms=moment_ms, problem=problem)


@pytest.mark.parametrize(
    ("known", "is_due"),
    [
        (FeedState(name=FEED.name), True),
        (state(10 * MINUTE_MS - 1), False),
        (state(10 * MINUTE_MS), True),
        (state(-365 * 24 * 60 * MINUTE_MS), True),  # the clock was a year ahead then
    ],
)
def test_feed_is_read_again_when_its_interval_is_over(known: FeedState, is_due: bool) -> None:
    assert known.is_due(FEED, NOW_MS) is is_due


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (FeedState(name=FEED.name), "was never read"),
        (state(30 * MINUTE_MS), None),
        (state(31 * MINUTE_MS), "was not read for 31 minutes"),
        (state(0, "status 500"), "status 500"),
        (state(-365 * 24 * 60 * MINUTE_MS), "was never read"),
    ],
)
def test_feed_that_nobody_reads_is_complained_about(known: FeedState, said: str | None) -> None:
    complaint = known.complaint(FEED, NOW_MS)
    assert complaint == said if said is None else said in str(complaint)
