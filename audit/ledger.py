"""The ledger: one writer appends batches, durable before anything that rests on them leaves.

What a crash leaves behind: before COMMIT nothing of the batch, after it all of it, and during it one of the
two. So a COMMIT that raises has an unknown outcome, and the ledger refuses all further work: its owner stops,
opens it again, and finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from audit.checkpoint import Checkpoint
from audit.entry import FIRST_PREV, Entry, LeafHash, RootHash, check_link, decode_entry, encode_entry
from audit.errors import CommitUnknown, EntryError, LedgerAltered, LedgerError, LedgerShort, StoreError
from audit.merkle import Frontier
from audit.stores.store import Reader, Store

VerifyCheckpoint = Callable[[str], Checkpoint]


class Batch:
    """Entries that become durable together. Entries see those before them: ``seq`` and the head move on."""

    def __init__(self, store: Store, frontier: Frontier, head_hash: LeafHash, time_ms: int) -> None:
        self._store = store
        self.frontier = frontier
        self.head_hash = head_hash
        self.time_ms = time_ms
        self.checkpoint_size: int | None = None

    @property
    def seq(self) -> int:
        """The seq that the next entry gets."""
        return self.frontier.size

    def append(self, kind: str, data: Mapping[str, object], v: int = 1) -> Entry:
        """Append an entry; raises as :meth:`extend`."""
        return self.extend([(kind, v, data)])[0]

    def extend(self, items: Sequence[tuple[str, int, Mapping[str, object]]]) -> list[Entry]:
        """Append entries, each given as kind, version and data: all of them, or none.

        Raises:
            TooLarge: one of them is; nothing was appended, and the batch goes on.
            EntryError: likewise; data cannot stand in an entry.
        """
        entries: list[Entry] = []
        prev = self.head_hash
        for seq, (kind, v, data) in enumerate(items, self.seq):
            entries.append(encode_entry(kind=kind, v=v, data=data, prev=prev, seq=seq, time_ms=self.time_ms))
            prev = entries[-1].leaf_hash
        for entry in entries:
            self._store.add_entry(entry.seq, entry.leaf_hash, entry.raw)
            self.frontier = self.frontier.append(entry.leaf_hash)
        self.head_hash = prev
        return entries

    def add_checkpoint(self, note: str, size: int) -> None:
        """Keep a signed checkpoint of a tree that ends at or before this batch's first entry."""
        self._store.add_checkpoint(size, note, self.time_ms)
        self.checkpoint_size = size


class Ledger:
    """A log on a store. One process, one thread at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failed = False
        self.frontier = Frontier()
        self.head_hash = FIRST_PREV
        self.head_time_ms = 0
        self.checkpoint_size = 0

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.frontier.size

    @property
    def root(self) -> RootHash:
        """The root hash over all entries."""
        return self.frontier.root()

    @classmethod
    def create(cls, store: Store) -> Ledger:
        """Begin an empty log.

        Raises:
            StoreError: the store is not empty.
        """
        if next(store.rows(), None) is not None or next(store.checkpoints(), None) is not None:
            raise StoreError("the store holds a log already: open it, never begin it anew")
        return cls(store)

    @classmethod
    def open(
        cls,
        store: Store,
        *,
        on_entry: Callable[[Entry], None],
        verify_checkpoint: VerifyCheckpoint | None = None,
    ) -> Ledger:
        """Open a log: read all of it once, and believe nothing that is stored but the bytes.

        Every entry is hashed again and must be what its leaf says and follow its predecessor. ``on_entry``
        gets each in order. A checkpoint goes to ``verify_checkpoint`` when the entries below it have been
        read, and must have the root that their bytes give.

        Raises:
            LedgerAltered: an entry or checkpoint is not what was written.
            LedgerShort: the log ends before a checkpoint.
        """
        ledger = cls(store)
        checkpoints = store.checkpoints()
        awaited = next(checkpoints, None)
        for seq, leaf, raw in store.rows():
            entry = _check_row(ledger, seq, leaf, raw)
            ledger._advance(entry)
            on_entry(entry)
            if awaited is not None and awaited[0] == ledger.size:
                _check_checkpoint(ledger, awaited, verify_checkpoint)
                awaited = next(checkpoints, None)
        if awaited is not None:
            raise LedgerShort(
                f"the log has {ledger.size} entries, but a checkpoint of size {awaited[0]} was signed: "
                "truncated or rolled back; run the verifier, issue nothing"
            )
        return ledger

    @contextmanager
    def batch(self, now_ms: int) -> Iterator[Batch]:
        """Begin a batch; leaving the block makes it durable, an exception inside leaves nothing of it.

        Raises:
            CommitUnknown: the commit raised. This object does nothing more.
            StoreError: the batch could not begin; nothing has happened.
        """
        if self._failed:
            raise CommitUnknown("an earlier commit had an unknown outcome: open the ledger again")
        self._store.begin()
        batch = Batch(self._store, self.frontier, self.head_hash, max(now_ms, self.head_time_ms))
        try:
            yield batch
        except BaseException:
            self._rollback()
            raise
        self._commit()
        if batch.seq > self.size:
            self.head_time_ms = batch.time_ms
        self.frontier, self.head_hash = batch.frontier, batch.head_hash
        self.checkpoint_size = batch.checkpoint_size or self.checkpoint_size

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _commit(self) -> None:
        try:
            self._store.commit()
        except BaseException as error:
            self._failed = True
            raise CommitUnknown(f"the outcome of a commit is unknown: {error}") from error

    def _rollback(self) -> None:
        try:
            self._store.rollback()
        except LedgerError as error:
            self._failed = True
            raise CommitUnknown(f"a batch could not be undone: {error}") from error

    def _advance(self, entry: Entry) -> None:
        self.frontier = self.frontier.append(entry.leaf_hash)
        self.head_hash = entry.leaf_hash
        self.head_time_ms = entry.time_ms


def reread(reader: Reader, frontier: Frontier, head_hash: LeafHash, end: int) -> tuple[Frontier, LeafHash]:
    """Read the entries after ``frontier`` up to ``end`` back from the store, and grow the frontier by them.

    For whoever signs a checkpoint: what is signed is what another connection finds, not what a writer
    remembers to have written. The chain says whether it is: each entry names the hash of the one before.

    Raises:
        LedgerAltered: an entry does not follow its predecessor.
        LedgerShort: there are fewer.
    """
    for raw in reader.entries(frontier.size, end):
        try:
            head_hash = check_link(raw, seq=frontier.size, prev=head_hash)
        except EntryError as error:
            raise LedgerAltered(frontier.size, str(error)) from error
        frontier = frontier.append(head_hash)
    if frontier.size != end:
        raise LedgerShort(f"the store has {frontier.size} entries, expected {end}")
    return frontier, head_hash


def _check_row(ledger: Ledger, seq: int, leaf: bytes, raw: bytes) -> Entry:
    if seq != ledger.size:
        raise LedgerAltered(ledger.size, f"is missing; the next one is {seq}")
    entry = _decode(seq, raw)
    if entry.leaf_hash != leaf:
        raise LedgerAltered(seq, "its bytes are not those of its leaf hash")
    if entry.seq != seq or entry.prev != ledger.head_hash:
        raise LedgerAltered(seq, "does not follow its predecessor")
    if entry.time_ms < ledger.head_time_ms:
        raise LedgerAltered(seq, "is older than its predecessor")
    return entry


def _decode(seq: int, raw: bytes) -> Entry:
    try:
        return decode_entry(raw)
    except EntryError as error:
        raise LedgerAltered(seq, str(error)) from error


def _check_checkpoint(ledger: Ledger, row: tuple[int, str], verify: VerifyCheckpoint | None) -> None:
    size, note = row
    ledger.checkpoint_size = size
    if verify is None:
        return
    try:
        checkpoint = verify(note)
    except LedgerError as error:
        raise LedgerAltered(size, f"the checkpoint over it: {error}") from error
    if (checkpoint.size, checkpoint.root) != (size, ledger.root):
        raise LedgerAltered(size, "the checkpoint over it has another root: the log was forked or rewritten")
