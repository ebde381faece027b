"""How many requests may be under way: as many as the token can serve before their turn is over, and no more.

A caller may hold an equal share of that, so that one who asks for very much finds the door closed while the
others do not. A request counts from here to its reply. Refusing at the door costs nothing; a request that
became an intent costs two entries of the ledger, whatever comes of it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final

from appliance.errors import Refusal
from hsm.health import Snapshot
from hsm.pool import Limits
from hsm.recovery import Condition

# No machine serves more callers at once, however fast its token is.
MAX_CAPACITY: Final = 2_048
# An outage this short is waited out by those who came: most are over before anyone notices.
GRACE_S: Final = 2.0
_MAX_RETRY_S: Final = 30


class Admission:
    """The door. Thread-safe."""

    def __init__(self, snapshot: Callable[[], Snapshot], limits: Limits) -> None:
        self._snapshot = snapshot
        self._limits = limits
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._total = 0

    @property
    def under_way(self) -> int:
        """The number of requests that are under way."""
        return self._total

    def enter(self, caller: str) -> None:
        """Let a request in, which has to :meth:`leave` when it was answered.

        Raises:
            Refusal: ``hsm-unavailable`` or ``overloaded``, with the time after which to try again.
        """
        token = self._snapshot()
        recovers = token.condition is Condition.RECOVERING and token.for_s <= GRACE_S
        if token.problem and not recovers:
            raise Refusal(
                "hsm-unavailable",
                "the token cannot sign just now; nothing was recorded: try again later",
                retry_after_s=5,
            )
        # A call under way that takes longer than the last ones says first that the token has become slow.
        call_s = max(token.counts.call_s, token.longest_call_s)
        capacity = self._capacity(call_s)
        with self._lock:
            held = self._held.get(caller, 0)
            share = capacity // (len(self._held) + (not held))
            # One's fair share is let in beyond the capacity, up to twice of it, if others have taken more
            # than theirs while they were alone.
            full = self._total >= capacity and (held >= max(1, share) or self._total >= 2 * capacity)
            if full:
                waiting_s = self._total * call_s / self._limits.sessions
                raise Refusal(
                    "overloaded",
                    f"the token is busy: {self._total} requests are under way, {held} of them yours",
                    retry_after_s=max(1, min(math.ceil(waiting_s), _MAX_RETRY_S)),
                )
            self._held[caller] = held + 1
            self._total += 1

    def leave(self, caller: str) -> None:
        """Note that a request was answered."""
        with self._lock:
            self._total -= 1
            self._held[caller] -= 1
            if not self._held[caller]:
                del self._held[caller]

    def _capacity(self, call_s: float) -> int:
        """Return how many requests get their turn in half of the time that they may wait for it."""
        in_time = self._limits.turn_s / 2 * self._limits.sessions / max(call_s, 1e-6)
        return max(2 * self._limits.sessions, min(int(in_time), MAX_CAPACITY))
