"""What is known of each feed: when it was last read, and what was wrong then.

These are files and no entries: no decision rests on them, and an unreachable feed changes nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.clock import format_rfc3339_ms
from appliance.config import Config, FeedTable


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """A feed as it was found last. ``problem`` is empty if it could be read; None of a time is never."""

    name: str
    tried_ms: int | None = None
    read_ms: int | None = None
    events: int = 0
    problem: str = ""

    def is_due(self, feed: FeedTable, now_ms: int) -> bool:
        """Say whether it is time to read the feed again; a time to come is of a clock that was ahead."""
        return self.tried_ms is None or not 0 <= now_ms - self.tried_ms < 1000 * feed.interval_s

    def complaint(self, feed: FeedTable, now_ms: int) -> str | None:
        """Return what is wrong with it, if anything is; a feed that nobody reads is wrong too."""
        if self.problem:
            return self.problem
        if self.read_ms is None or self.read_ms > now_ms:
            return "was never read: have `chancery leave sync` run"
        if now_ms > self.read_ms + 3000 * feed.interval_s:
            minutes = (now_ms - self.read_ms) // 60_000
            return f"was not read for {minutes} minutes: have `chancery leave sync` run"
        return None


def load_state(config: Config, name: str) -> FeedState:
    """Return what is known of a feed; of one that was never read, and of a file that is damaged, nothing."""
    try:
        return FeedState(**json.loads(_path(config, name).read_bytes()))
    except (OSError, ValueError, TypeError):
        return FeedState(name=name)


def store_state(config: Config, state: FeedState) -> None:
    """Replace what is known of a feed.

    Raises:
        OSError: it cannot be written.
    """
    path = _path(config, state.name)
    path.parent.mkdir(mode=0o755, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(asdict(state)) + "\n", "utf-8")
    new.replace(path)


def describe_feeds(config: Config, now_ms: int) -> list[dict[str, Any]]:
    """Return what is known of every configured feed, as JSON data: ``problem`` says what is wrong with it."""
    return [_describe(feed, load_state(config, feed.name), now_ms) for feed in config.leave.feeds]


def _describe(feed: FeedTable, state: FeedState, now_ms: int) -> dict[str, Any]:
    described = {
        "name": feed.name,
        "events": state.events,
        "tried": None if state.tried_ms is None else format_rfc3339_ms(state.tried_ms),
        "read": None if state.read_ms is None else format_rfc3339_ms(state.read_ms),
        "problem": state.complaint(feed, now_ms),
    }
    return {name: value for name, value in described.items() if value is not None}


def _path(config: Config, name: str) -> Path:
    return config.data / "leave" / f"{name}.json"
