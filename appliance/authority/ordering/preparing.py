"""Orders that take long to prepare: a policy to be read, a key to be made. Verified first, prepared after.

What an order costs beyond its signature is spent only once that has been found to hold, and on a thread of
its own, so that neither the writer nor a connection waits. One is prepared at a time, and its order is
verified again when its turn has come: sent many times, it is spent by the first of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Final

from appliance.authority.events import Event, OrderData
from appliance.authority.fold.state import State
from appliance.authority.ordering.administration import Answer, Build, CarryOut
from appliance.authority.ordering.commands import CommandBody
from appliance.authority.orders import OrderBody
from appliance.authority.writer import At, Writer
from appliance.errors import Refusal
from audit.entry import Entry

log = logging.getLogger(__name__)

# That wait for their turn: more than any number of operators gives at once.
MAX_QUEUED: Final = 16

# Does the work, and returns what the order records; raises Refusal.
Prepare = Callable[[], Build]


def _check_nothing(_state: State, _at: At, _orders: list[OrderData]) -> list[Event]:
    return []


class Preparer:
    """A thread that prepares what was ordered, and then has it carried out."""

    def __init__(self, name: str, writer: Writer) -> None:
        self._name = name
        self._writer = writer
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def start(self) -> None:
        """Begin to take orders."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def submit(
        self,
        command: CommandBody,
        orders: Sequence[OrderBody],
        prepare: Prepare,
        answer: Answer,
        *,
        check: Build = _check_nothing,
    ) -> None:
        """Have a command prepared and carried out; ``answer`` gets the entries, or the refusal.

        ``check`` refuses on the state what need not be prepared at all.
        """
        verify = partial(CarryOut, command, orders, check)
        turn = partial(self._prepare, verify, partial(CarryOut, command, orders), prepare, answer)
        self._writer.submit(verify(partial(self._queue_up, turn, answer)))

    def _queue_up(
        self, turn: Callable[[], None], answer: Answer, verified: Sequence[Entry] | Refusal
    ) -> None:
        if isinstance(verified, Refusal):
            answer(verified)
        elif self._queue.qsize() >= MAX_QUEUED:
            answer(Refusal("overloaded", "other orders are being prepared; try again", retry_after_s=5))
        else:
            self._queue.put(turn)

    def _run(self) -> None:
        while True:
            self._queue.get()()

    def _prepare(
        self,
        verify: Callable[[Answer], CarryOut],
        carry_out: Callable[[Build, Answer], CarryOut],
        prepare: Prepare,
        answer: Answer,
    ) -> None:
        verified = self._have_decided(verify)
        if isinstance(verified, Refusal):
            answer(verified)
            return
        try:
            build = prepare()
        except Refusal as refusal:
            answer(refusal)
        except Exception:
            log.exception("an order could not be prepared")
            answer(Refusal("internal", "could not be prepared; nothing was done"))
        else:
            answer(self._have_decided(partial(carry_out, build)))

    def _have_decided(self, make: Callable[[Answer], CarryOut]) -> Sequence[Entry] | Refusal:
        """Have the writer decide, and wait for it: only then is an order spent."""
        decided: SimpleQueue[Sequence[Entry] | Refusal] = SimpleQueue()
        self._writer.submit_owed(make(decided.put))
        return decided.get()
