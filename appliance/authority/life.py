"""Signs of life: the authority's start and stop, its heartbeat, and the checkpoints over it all.

A checkpoint is signed while there is news, and a heartbeat makes news once a minute: so silence is evidence
of a stop. What is signed is what a second connection reads back from the store, not what the writer
remembers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from appliance.authority.events import Event, NodeState
from appliance.authority.fold.state import State
from appliance.authority.writer import At, Decided, Writer
from appliance.errors import Refusal
from audit.checkpoint import Checkpoint, sign_checkpoint
from audit.entry import LeafHash
from audit.ledger import reread
from audit.merkle import Frontier
from audit.note import NotePrivateKey
from audit.stores.store import Reader
from hsm.errors import HsmError

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 60.0
MIN_INTERVAL_S: Final = 1.0
# A slow token is not to spend more than a fiftieth of its time on checkpoints.
SIGNING_SHARE: Final = 50
RETRY_S: Final = 5.0
_STOP_DEADLINE_S: Final = 30.0

SignKind = Literal["node.started", "node.stopped", "heartbeat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a node says of itself in the ledger."""

    name: str
    software: str

    def sign_of_life(self, kind: SignKind, tree: Frontier) -> Event:
        """Return the entry that says so, with the tree before it."""
        data = NodeState(node=self.name, software=self.software, size=tree.size, root=tree.root().hex())
        return Event(kind=kind, data=data)


class SignOfLife:
    """Records a sign of life."""

    def __init__(self, node: Node, kind: SignKind, done: Callable[[], None] = lambda: None) -> None:
        self._node = node
        self._kind: SignKind = kind
        self._done = done

    def decide(self, state: State, at: At) -> Decided:  # noqa: ARG002 - it depends on nothing
        """Record it."""
        event = self._node.sign_of_life(self._kind, at.tree)
        return Decided(events=[event], after=lambda _entries: self._done())

    def refuse(self, refusal: Refusal) -> None:
        """Log that it could not be recorded."""
        log.error("a %s could not be recorded: %s", self._kind, refusal)
        self._done()


class KeepCheckpoint:
    """Keeps a signed checkpoint beside the entries."""

    def __init__(self, note: str, size: int, done: Callable[[], None]) -> None:
        self._note = note
        self._size = size
        self._done = done

    def decide(self, state: State, at: At) -> Decided:  # noqa: ARG002 - it depends on nothing
        """Keep it."""
        return Decided(checkpoint=(self._note, self._size), after=lambda _entries: self._done())

    def refuse(self, refusal: Refusal) -> None:
        """Log that it could not be kept; the next one covers what it would have."""
        log.error("a checkpoint could not be kept: %s", refusal)
        self._done()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """Where the last signed checkpoint ends: enough to hash on from there."""

    tree: Frontier
    head_hash: LeafHash


class Checkpointer:
    """The thread that signs checkpoints, and has a heartbeat recorded when nothing else is."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        key: NotePrivateKey,
        *,
        node: Node,
        origin: str,
        tail: Tail,
        call_s: Callable[[], float],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Prepare; ``call_s`` says how long the token takes for a signature, without the wait for a turn."""
        self._writer = writer
        self._reader = reader
        self._key = key
        self._node = node
        self._origin = origin
        self._tail = tail
        self._call_s = call_s
        self._on_failure = on_failure
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)
        self.last: tuple[int, str] | None = None
        self.problem: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Record that the node stops, sign a checkpoint over that, and end; the writer still runs."""
        recorded = threading.Event()
        self._writer.submit_owed(SignOfLife(self._node, "node.stopped", recorded.set))
        recorded.wait(_STOP_DEADLINE_S)
        self._stopping.set()
        self._thread.join(_STOP_DEADLINE_S)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._stopping.wait(self._step())
            self._sign_last()
        except BaseException as error:  # noqa: BLE001 - the ledger is not what was written: nothing goes on
            self._on_failure(error)

    def _sign_last(self) -> None:
        """Sign over node.stopped, if the token does; otherwise the next start signs over it."""
        if self._writer.size > self._tail.tree.size:
            try:
                self._sign(self._writer.size)
            except HsmError as error:
                log.error("no checkpoint over the last entries: %s", error)  # noqa: TRY400 - a known cause

    def _step(self) -> float:
        """Wait for news and sign a checkpoint over it; return how long to leave the token alone."""
        size = self._writer.wait_beyond(self._tail.tree.size, HEARTBEAT_S)
        if size == self._tail.tree.size:
            self._writer.submit_owed(SignOfLife(self._node, "heartbeat"))
            return 0
        try:
            self._sign(size)
        except HsmError as error:
            self.problem = f"no checkpoint could be signed: {error}"
            log.error(self.problem)  # noqa: TRY400 - a known cause
            return RETRY_S
        return min(max(MIN_INTERVAL_S, SIGNING_SHARE * self._call_s()), HEARTBEAT_S)

    def _sign(self, size: int) -> None:
        """Sign a checkpoint of ``size`` and have it kept."""
        tree, head_hash = reread(self._reader, self._tail.tree, self._tail.head_hash, size)
        note = sign_checkpoint(Checkpoint(self._origin, size, tree.root()), self._key)
        kept = threading.Event()
        self._writer.submit_owed(KeepCheckpoint(note, size, kept.set))
        kept.wait(_STOP_DEADLINE_S)
        self._tail = Tail(tree=tree, head_hash=head_hash)
        self.last, self.problem = (size, note), None
