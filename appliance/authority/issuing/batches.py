"""Many requests of one caller, carried out each by itself, as fast as the door lets them in.

What finds the door closed because the token is busy waits until another of the same batch is done, or looks
again when none is under way: a batch paces itself, however slow the token is, and asks for no more than its
caller's share.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from appliance.authority.transport.server import Reply
from appliance.errors import Refusal

log = logging.getLogger(__name__)

# What was not begun by then is refused: whoever sent the batch still waits for its outcomes.
MAX_PACED_S: Final = 90.0
# Each has a thread; whoever sends more at a time sends too many.
MAX_BATCHES: Final = 64
_LOOK_AGAIN_S: Final = 0.1

# Begins one request, which answers later through what it is given, or refuses at once.
Start = Callable[[Reply], None]


class Batch:
    """Gathers the outcomes, which come in any order and on any thread; passes on all at once."""

    def __init__(
        self,
        starts: Sequence[Start],
        done: Callable[[list[dict[str, Any]]], None],
        *,
        paced_s: float = MAX_PACED_S,
    ) -> None:
        self._starts = starts
        self._done = done
        self._paced_s = paced_s
        self._outcomes: list[dict[str, Any]] = [{}] * len(starts)
        self._under_way = 0
        self._missing = len(starts)
        self._changed = threading.Condition()

    def start(self) -> None:
        """Begin, in a thread of its own: pacing holds up nobody else."""
        threading.Thread(target=self._run, name="batch", daemon=True).start()

    def _run(self) -> None:
        end = time.monotonic() + self._paced_s
        for position, start in enumerate(self._starts):
            self._begin(start, partial(self._take, position), end)

    def _begin(self, start: Start, take: Reply, end: float) -> None:
        while True:
            with self._changed:
                self._under_way += 1
                before = self._under_way
            try:
                start(take)
            except Refusal as refusal:
                if refusal.slug == "overloaded" and self._wait_for_room(before, end):
                    continue
                take(refusal)
            except Exception:
                # Else the batch would wait for this one for ever, and keep its place.
                log.exception("a request of a batch could not be begun")
                take(Refusal("internal", "could not be decided; nothing was done"))
            return

    def _wait_for_room(self, before: int, end: float) -> bool:
        """Wait until there may be room for one more; False if time is up."""
        with self._changed:
            self._under_way -= 1
            left = end - time.monotonic()
            # With none under way, it is others who keep the door closed, and nobody tells when they are done.
            timeout = left if before > 1 else min(left, _LOOK_AGAIN_S)
            if self._changed.wait_for(lambda: self._under_way < before - 1, timeout) or timeout < left:
                return True
            self._under_way += 1
            return False

    def _take(self, position: int, outcome: object) -> None:
        taken = {"refusal": outcome.to_wire()} if isinstance(outcome, Refusal) else {"ok": outcome}
        with self._changed:
            self._outcomes[position] = taken
            self._under_way -= 1
            self._missing -= 1
            self._changed.notify()
            complete = self._missing == 0
        if complete:
            self._done(self._outcomes)
