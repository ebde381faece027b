"""Readiness that is not a guess: the token signs a probe, and the ledger takes a batch.

The probe key signs nothing but probes, and a probe cannot be taken for anything else that is ever signed.
A token that hangs holds up this thread, and the answers say so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from appliance.authority.writer import ReadState, Writer
from appliance.errors import Refusal
from appliance.ssh.signature import sign
from hsm.errors import HsmError
from hsm.keys import PrivateKey
from hsm.pool import Pool

# Health checks come from many sides at once: the token is not to be kept busy by them.
MAX_AGE_S: Final = 2.0
_LEDGER_DEADLINE_S: Final = 5.0

Reply = Callable[[object], None]


def probe_message(origin: str, now_ms: int) -> bytes:
    """Return what the probe key signs."""
    return f"chancery/probe/v1\n{origin}\n{now_ms}\n".encode()


class Probe:
    """A thread that answers whether certificates could be issued now."""

    def __init__(
        self, pool: Pool, key: PrivateKey, writer: Writer, *, origin: str, now_ms: Callable[[], int]
    ) -> None:
        self._pool = pool
        self._key = key
        self._writer = writer
        self._origin = origin
        self._now_ms = now_ms
        self._queue: SimpleQueue[Reply] = SimpleQueue()
        self._taken_s = -MAX_AGE_S
        self._result: dict[str, Any] = {}

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._run, name="probe", daemon=True).start()

    def ask(self, reply: Reply) -> None:
        """Have ``reply`` called with the answer, which is at most some seconds old."""
        self._queue.put(reply)

    def _run(self) -> None:
        while True:
            reply = self._queue.get()
            if time.monotonic() - self._taken_s > MAX_AGE_S:
                self._result = self._take()
                self._taken_s = time.monotonic()
            reply(self._result)

    def _take(self) -> dict[str, Any]:
        began = time.monotonic()
        problems = [problem for check in (self._token, self._ledger) if (problem := check()) is not None]
        return {
            "ready": not problems,
            "problems": problems,
            "took_ms": int(1000 * (time.monotonic() - began)),
        }

    def _token(self) -> str | None:
        if self._pool.problem is not None:  # known without waiting for it
            return f"token: {self._pool.problem}"
        try:
            sign(self._key, probe_message(self._origin, self._now_ms()))
        except HsmError as error:
            return f"token: {error}"
        return None

    def _ledger(self) -> str | None:
        answered = threading.Event()
        outcome: list[object] = []

        def reply(value: object) -> None:
            outcome.append(value)
            answered.set()

        try:
            self._writer.submit(ReadState(lambda _state, _at: None, reply))
        except Refusal as refusal:
            return f"ledger: {refusal}"
        if not answered.wait(_LEDGER_DEADLINE_S):
            return f"ledger: no batch within {_LEDGER_DEADLINE_S:.0f} s"
        return f"ledger: {outcome[0]}" if isinstance(outcome[0], Refusal) else None
