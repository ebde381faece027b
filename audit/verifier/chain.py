"""The chain of entries: what each one must be, given all that came before it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from .entry import Entry, parse_entry
from .errors import MalformedError
from .merkle import EMPTY_ROOT, Frontier, LeafHash, RootHash, leaf_hash
from .note import Vkey, parse_vkey
from .report import Code, Findings
from .resume import ResumeState
from .schemas import TREE_CLAIMS, complaint_about
from .sources import StoredEntry

# How far back an entry may state what the tree was. A frontier is a tuple of some twenty references, so this
# many cost about a megabyte; the writer states the tree of a moment ago, or that of the last checkpoint.
REMEMBERED_SIZES: Final = 4096

Complaint = tuple[Code, str]


@dataclass(frozen=True, slots=True)
class LedgerKeys:
    """The ledger keys so far, oldest first; those from ``signing`` on must sign the next checkpoint.

    After a change both the old and the new one must, once: that hands the log from one to the other.
    """

    known: tuple[Vkey, ...] = ()
    signing: int = 0

    @property
    def required(self) -> tuple[Vkey, ...]:
        """The keys that must sign the next checkpoint."""
        return self.known[self.signing :]

    def add(self, key: Vkey) -> LedgerKeys:
        """Return the keys after a ``log.key_changed``."""
        return replace(self, known=(*self.known, key))

    def hand_over(self) -> LedgerKeys:
        """Return the keys after a checkpoint that all the required ones signed."""
        return replace(self, signing=len(self.known) - 1)


class Chain:
    """The fold over the entries read so far.

    Until entry 0 has named origin and key, the ``pinned`` ones stand in for them; if there is neither,
    ``origin`` is None and no checkpoint can be checked.
    """

    def __init__(self, findings: Findings, *, pinned: Vkey | None, resume: ResumeState | None) -> None:
        self.kinds: Counter[str] = Counter()
        self.origin = pinned.name if pinned else None
        self.keys = LedgerKeys((pinned,) if pinned else ())
        self.frontier = Frontier()
        self.head = LeafHash(bytes(32))
        self.time_ms = 0
        self.checkpoint_size, self.checkpoint_root = 0, EMPTY_ROOT
        self._findings = findings
        self._pinned = pinned
        if resume:
            self._take_up(resume)
        self._expected_seq = self.frontier.size
        self._recent = deque([self.frontier], maxlen=REMEMBERED_SIZES)

    def _take_up(self, resume: ResumeState) -> None:
        self.origin, self.head, self.time_ms = resume.origin, resume.head, resume.time_ms
        self.frontier = resume.frontier
        self.keys = LedgerKeys(tuple(map(parse_vkey, resume.keys)), resume.signing)
        self.checkpoint_size, self.checkpoint_root = resume.checkpoint_size, resume.checkpoint_root
        for code, message in self._pinned_complaints(self.keys.known[0]):
            self._findings.add(code, message)

    def take(self, stored: StoredEntry) -> Entry | None:
        """Fold one entry in; return it if nothing is wrong or unknown about it."""
        leaf = leaf_hash(stored.octets)
        complaints = list(self._place_complaints(stored, leaf))
        entry = None
        try:
            entry = parse_entry(stored.octets)
        except MalformedError as error:
            complaints.append((Code.BAD_ENTRY, str(error)))
        if entry is not None:
            complaints += self._envelope_complaints(entry, stored.seq)
            complaints += self._data_complaints(entry)
            self.time_ms = max(self.time_ms, entry.time_ms)
        for code, message in complaints:
            self._findings.add(code, message, seq=stored.seq)
        self.frontier = self.frontier.append(leaf)
        self._recent.append(self.frontier)
        self.head, self._expected_seq = leaf, stored.seq + 1
        return None if complaints else entry

    def cover(self, size: int, root: RootHash) -> None:
        """Note that a checkpoint over the first ``size`` entries held."""
        self.checkpoint_size, self.checkpoint_root = size, root
        self.keys = self.keys.hand_over()

    def root_at(self, size: int) -> RootHash | None:
        """Return the root hash of the tree at ``size``, or None if it is forgotten or was never read."""
        if size == self.checkpoint_size:
            return self.checkpoint_root
        oldest = self._recent[0].size
        return self._recent[size - oldest].root() if oldest <= size <= self.frontier.size else None

    def _place_complaints(self, stored: StoredEntry, leaf: LeafHash) -> Iterator[Complaint]:
        if stored.seq != self._expected_seq:
            yield Code.MISSING_ENTRY, f"expected entry {self._expected_seq} to be stored before this one"
        if stored.leaf is not None and stored.leaf != leaf:
            yield Code.ALTERED_LEAF, f"stored leaf hash {stored.leaf.hex()}, the bytes hash to {leaf.hex()}"

    def _envelope_complaints(self, entry: Entry, seq: int) -> Iterator[Complaint]:
        if entry.seq != seq:
            yield Code.WRONG_SEQ, f"the entry says that its seq is {entry.seq}"
        if entry.prev != self.head:
            yield Code.BROKEN_CHAIN, f"prev is {entry.prev.hex()}, the entry before is {self.head.hex()}"
        if entry.time_ms < self.time_ms:
            yield Code.TIME_BACKWARDS, f"time_ms is {entry.time_ms}, an entry before has {self.time_ms}"
        if (entry.kind == "log.opened") != (seq == 0):
            code = Code.OPENED_AGAIN if seq else Code.NOT_OPENED
            yield code, f"got {entry.kind}, expected log.opened as entry 0 and nowhere else"

    def _data_complaints(self, entry: Entry) -> Iterator[Complaint]:
        complaint = complaint_about(entry)
        if complaint is not None:
            yield complaint
            return
        self.kinds[entry.kind] += 1
        if entry.kind == "log.opened" and not self.frontier.size:
            self.origin = str(entry.data["origin"])
            key = parse_vkey(str(entry.data["ledger_key"]))
            self.keys = LedgerKeys((key,))
            yield from self._pinned_complaints(key)
            yield from self._name_complaints(key)
        elif entry.kind == "log.key_changed":
            key = parse_vkey(str(entry.data["ledger_key"]))
            self.keys = self.keys.add(key)
            yield from self._name_complaints(key)
        elif entry.kind in TREE_CLAIMS:
            yield from self._claim_complaints(entry)

    def _pinned_complaints(self, key: Vkey) -> Iterator[Complaint]:
        if self._pinned is not None and self._pinned.text != key.text:
            yield Code.WRONG_LEDGER_KEY, f"entry 0 names {key.text}, pinned is {self._pinned.text}"

    def _name_complaints(self, key: Vkey) -> Iterator[Complaint]:
        if key.name != self.origin:
            yield Code.WRONG_LEDGER_KEY, f"the key is named {key.name}, expected the origin {self.origin}"

    def _claim_complaints(self, entry: Entry) -> Iterator[Complaint]:
        size, claimed = entry.data["size"], entry.data["root"]
        if not isinstance(size, int) or size > self.frontier.size:
            yield (
                Code.WRONG_TREE_CLAIM,
                f"it states a tree of size {size}; that many entries do not precede it",
            )
            return
        root = self.root_at(size)
        if root is None:
            yield Code.UNCHECKED_TREE_CLAIM, f"it states the root at size {size}, too far back to recompute"
        elif root.hex() != claimed:
            yield Code.WRONG_TREE_CLAIM, f"it states root {claimed} at size {size}, which is {root.hex()}"
