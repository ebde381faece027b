"""What a worker turned away or gave up, counted: a line of log for each would be one more thing to flood."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

log = logging.getLogger(__name__)

INTERVAL_S: Final = 10.0


class Tally:
    """Counts by reason, and says at most every ten seconds what has come together."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._said_s = float("-inf")

    def count(self, reason: str, now_s: float) -> None:
        """Count one; ``now_s`` is a monotonic clock's."""
        self._counts[reason] += 1
        if now_s - self._said_s >= INTERVAL_S:
            self._said_s = now_s
            log.warning(
                "turned away or given up: %s", ", ".join(f"{each} {n}" for each, n in self._counts.items())
            )
            self._counts.clear()
