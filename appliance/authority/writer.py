"""The writer: one thread that decides, records and only then lets anything leave.

Commands wait in one queue. The writer takes all that are there, decides each on the state as the ones before
it left it, appends what they record, and commits once for all of them. What a command wants done when its
entries are durable (ask the token, answer the caller) is done after the commit, never before.

A commit that raises has an unknown outcome. The state in memory may then be ahead of the ledger or not, so
the writer ends and says so; its process ends with it, and the next one reads the ledger.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Protocol, TypeVar

from appliance.authority.events import Event
from appliance.authority.fold.state import State
from appliance.errors import Refusal
from audit.entry import Entry
from audit.errors import EntryError, StoreError
from audit.ledger import Batch, Ledger
from audit.merkle import Frontier

log = logging.getLogger(__name__)

_Read = TypeVar("_Read")

# More than any number of callers that a machine serves at once; a longer queue would only answer later.
MAX_QUEUED: Final = 2_048
# Enough that the cost of a commit vanishes (it is 30 times that of an entry), few enough that the first
# caller of a batch does not wait for the last.
MAX_BATCH: Final = 256
# With so many requests under way, a commit waits for more of them: it costs as much for one as for twenty.
# After PostgreSQL's commit_siblings and commit_delay; alone, nobody waits.
SIBLINGS: Final = 8
GATHER_S: Final = 0.003
_GATHER_STEP_S: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """The place of a command's first entry: the tree before it, and its moment, the decision's ``now``."""

    tree: Frontier
    time_ms: int

    @property
    def seq(self) -> int:
        """The seq that the command's first entry gets."""
        return self.tree.size

    @property
    def time_s(self) -> int:
        """The moment in whole seconds."""
        return self.time_ms // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a command records, and what happens when that is durable."""

    events: Sequence[Event] = ()
    checkpoint: tuple[str, int] | None = None
    after: Callable[[Sequence[Entry]], None]


class Command(Protocol):
    """A change of the ledger. Both methods run on the writer's thread, and neither may wait for anything."""

    def decide(self, state: State, at: At) -> Decided:
        """Decide on the state as it is; raise :class:`~appliance.errors.Refusal` to record nothing."""

    def refuse(self, refusal: Refusal) -> None:
        """Tell whoever waits that nothing was recorded."""


class ReadState:
    """Records nothing, and reads the state where it may be read: on the writer's thread."""

    def __init__(self, read: Callable[[State, At], object], reply: Callable[[object], None]) -> None:
        self._read = read
        self._reply = reply

    def decide(self, state: State, at: At) -> Decided:
        """Read; the reply leaves with the batch."""
        outcome = self._read(state, at)
        return Decided(after=lambda _entries: self._reply(outcome))

    def refuse(self, refusal: Refusal) -> None:
        """Pass on why not."""
        self._reply(refusal)


class Writer:
    """Owner of the ledger and of the state."""

    def __init__(
        self,
        ledger: Ledger,
        state: State,
        *,
        now_ms: Callable[[], int],
        on_failure: Callable[[BaseException], None],
        under_way: Callable[[], int] = lambda: 0,
    ) -> None:
        """Prepare; ``under_way`` says how many requests there are between entry and reply."""
        self._ledger = ledger
        self._state = state
        self._now_ms = now_ms
        self._under_way = under_way
        self._on_failure = on_failure
        self._queue: SimpleQueue[Command | None] = SimpleQueue()
        self._grown = threading.Condition()
        self._draining = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    @property
    def size(self) -> int:
        """The number of entries that are durable."""
        return self._ledger.size

    @property
    def waiting(self) -> int:
        """The number of commands that wait, about."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begin to take commands."""
        self._thread.start()

    def submit(self, command: Command) -> None:
        """Hand over a command that a caller asks for.

        Raises:
            Refusal: ``overloaded``; too many are waiting, or the authority is about to stop.
        """
        if self._draining:
            raise Refusal("overloaded", "the authority is stopping; try again", retry_after_s=2)
        if self._queue.qsize() >= MAX_QUEUED:
            raise Refusal("overloaded", "too many requests are waiting; try again", retry_after_s=1)
        self._queue.put(command)

    def submit_owed(self, command: Command) -> None:
        """Hand over a command that completes something already on record: it is never turned away."""
        self._queue.put(command)

    def read(self, read: Callable[[State, At], _Read]) -> _Read | Refusal:
        """Have the state read on behalf of a thread of the authority's own, which waits for it."""
        found: SimpleQueue[Any] = SimpleQueue()
        self.submit_owed(ReadState(read, found.put))
        outcome: _Read | Refusal = found.get()
        return outcome

    def wait_beyond(self, size: int, timeout_s: float) -> int:
        """Wait until the ledger has more than ``size`` entries, or for the time given; return its size."""
        with self._grown:
            self._grown.wait_for(lambda: self._ledger.size > size, timeout_s)
        return self._ledger.size

    def drain(self) -> None:
        """Take nothing new from callers, and wait until all that they have handed over is carried out."""
        self._draining = True
        passed = threading.Event()
        self._queue.put(ReadState(lambda _state, _at: None, lambda _outcome: passed.set()))
        passed.wait()

    def stop(self) -> None:
        """Carry out what is queued, then end; the ledger stays open for its owner to close."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._run_batch(self._take()):
                pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, nothing may be recorded after it
            self._on_failure(error)

    def _take(self) -> list[Command | None]:
        """Wait for a command, and take with it all that came in meanwhile."""
        commands = [self._queue.get()]
        self._gather()
        while len(commands) < MAX_BATCH and commands[-1] is not None and not self._queue.empty():
            commands.append(self._queue.get())
        return commands

    def _gather(self) -> None:
        """Wait a little for more, if there are many who may bring it."""
        under_way = self._under_way()
        if under_way < SIBLINGS:
            return
        end = time.monotonic() + GATHER_S
        while self._queue.qsize() < min(under_way // 2, MAX_BATCH) and time.monotonic() < end:
            time.sleep(_GATHER_STEP_S)

    def _run_batch(self, commands: Sequence[Command | None]) -> bool:
        with self._ledger.batch(self._now_ms()) as batch:
            afterwards = [self._carry_out(command, batch) for command in commands if command is not None]
        # Durable from here on. Refusals waited too: they may rest on entries of this very batch.
        with self._grown:
            self._grown.notify_all()
        for act in afterwards:
            act()
        return None not in commands

    def _carry_out(self, command: Command, batch: Batch) -> Callable[[], None]:
        """Decide and append; return what is to be done once the batch is durable."""
        try:
            decided = command.decide(self._state, At(tree=batch.frontier, time_ms=batch.time_ms))
            entries = batch.extend([(event.kind, 1, event.data) for event in decided.events])
        except Refusal as refusal:
            return partial(command.refuse, refusal)
        except EntryError as error:
            too_large = f"what would be recorded does not fit an entry: {error}"
            return partial(command.refuse, Refusal("too-large", too_large))
        except StoreError:
            raise
        except Exception:
            # A bug, met before anything of this command was recorded: its caller gets an answer, and the
            # others go on.
            log.exception("%s could not be decided", type(command).__name__)
            return partial(command.refuse, Refusal("internal", "could not be decided; nothing was done"))
        for entry in entries:
            self._state.apply(entry)
        if decided.checkpoint is not None:
            batch.add_checkpoint(*decided.checkpoint)
        return partial(decided.after, entries)
