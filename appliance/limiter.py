"""Token buckets by key, in bounded memory: of identities in the authority, of addresses in the web tier."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from appliance.buckets import Rate, take

# A bucket that is not full takes about 250 bytes. Whoever invents more keys than this gains that the bucket
# not used for longest counts as full: with one key he had a burst, with 20 000 he has one of each.
MAX_KEYS: Final = 16_384


class Limiter:
    """One bucket for each key. Thread-safe; ``now_s`` is a monotonic clock's."""

    def __init__(self, rate: Rate, *, max_keys: int = MAX_KEYS) -> None:
        self._rate = rate
        self._max_keys = max_keys
        self._full_s: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many buckets are remembered."""
        return len(self._full_s)

    def take(self, key: str, now_s: float, count: int = 1) -> float:
        """Take ``count`` tokens from the bucket of ``key``; return the seconds to wait instead, or 0.

        Raises:
            ValueError: no bucket ever holds so many.
        """
        with self._lock:
            taken = take(self._rate, self._full_s.get(key), now_s, count)
            self._full_s[key] = taken.full_s
            self._full_s.move_to_end(key)
            self._forget(now_s)
            return taken.wait_s

    def look(self, key: str, now_s: float, count: int = 1) -> float:
        """Return what :meth:`take` would, and take nothing; raises as that does."""
        with self._lock:
            return take(self._rate, self._full_s.get(key), now_s, count).wait_s

    def _forget(self, now_s: float) -> None:
        """Drop the buckets not used for longest if they are full again, or if there are too many."""
        for _ in range(2):  # one more than came in, so that in the end all that are full are gone
            key, full_s = next(iter(self._full_s.items()))
            if full_s > now_s and len(self._full_s) <= self._max_keys:
                return
            del self._full_s[key]
