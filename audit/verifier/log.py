"""The verification of a whole log: one pass over its bytes, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from .chain import Chain, Complaint
from .checkpoint import Checkpoint, parse_checkpoint
from .entry import Entry
from .errors import DamageError, MalformedError, UsageError
from .merkle import leaf_hash
from .note import Vkey, parse_vkey
from .report import LASTING_CODES, Code, Findings, Report, Verdict
from .resume import ResumeState
from .sources import EntrySource, StoredCheckpoint, StoredEntry

PROGRESS_EVERY: Final = 1024


def verify_log(
    source: EntrySource,
    *,
    pinned_key: str | None = None,
    earlier: str | None = None,
    resume: ResumeState | None = None,
    on_entry: Callable[[Entry], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Verify the structure of a log.

    1. The container is as documented: schema, tiles.
    2. Each entry is canonical, stands at its seq, names the leaf hash of the entry before it, hashes to the
       leaf stored beside it, is not earlier than the entry before it, and its data fits the schema of its
       (kind, version). What it states of the tree's size and root is so.
    3. Entry 0 opens the log with the pinned ledger key; a key change adds a key.
    4. Each checkpoint is of this origin and of the recomputed root, and every key in force signed it.
    5. No checkpoint is larger than the log; the ``earlier`` one has the root that the log has at its size.
    6. What is missing for certainty is named: a pinned key, a signed tail, the meaning of a kind.

    ``pinned_key`` is the verifier key of entry 0, ``earlier`` the text of a checkpoint that the log must
    extend. ``on_entry`` gets each entry that passed 2 and 3, in order and within the same pass: at that
    moment nothing is known of the checkpoints that follow, so what is made of the entries holds only if the
    report does. ``on_progress`` gets the number of entries read and the seeming total.

    It does not establish what data mean (CA signatures, orders, policy), nor that the log was not cut back
    to an older checkpoint together with everything after it: only ``earlier`` shows that. After a
    ``resume`` it speaks of the entries from that state's size on.

    Raises:
        UsageError: the pinned key or the earlier checkpoint is malformed.
    """
    check = _LogCheck(source, pinned=_own_key(pinned_key), earlier=_own_checkpoint(earlier), resume=resume)
    try:
        check.read(on_entry, on_progress)
    except DamageError as damage:
        check.findings.add(damage.code, str(damage), seq=damage.seq)
    check.conclude()
    return check.report()


def _own_key(text: str | None) -> Vkey | None:
    try:
        return None if text is None else parse_vkey(text)
    except MalformedError as error:
        raise UsageError(f"the pinned key cannot be used: {error}") from error


def _own_checkpoint(text: str | None) -> Checkpoint | None:
    try:
        return None if text is None else parse_checkpoint(text.encode("utf-8", errors="surrogatepass"))
    except MalformedError as error:
        raise UsageError(f"the earlier checkpoint cannot be used: {error}") from error


class _LogCheck:
    """One pass: the chain of entries, and the checkpoints in between."""

    def __init__(
        self,
        source: EntrySource,
        *,
        pinned: Vkey | None,
        earlier: Checkpoint | None,
        resume: ResumeState | None,
    ) -> None:
        self.findings = Findings()
        self._source = source
        self._pinned = pinned
        self._earlier = earlier
        self._start = resume.frontier.size if resume else 0
        self._complete = False
        self._chain = Chain(self.findings, pinned=pinned, resume=resume)
        if earlier is not None and earlier.size < self._start:
            self._check_extends(earlier)
        if resume and resume.inconclusive:
            self.findings.add(
                Code.INCONCLUSIVE_BEFORE,
                f"{resume.inconclusive} findings before entry {self._start} were inconclusive;"
                " verify from the beginning with a verifier that knows more",
            )

    def read(
        self,
        on_entry: Callable[[Entry], None] | None,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        """Fold the whole source, each checkpoint as soon as the entries that it covers are in."""
        source = self._source
        for finding in source.findings():
            self.findings.add(finding.code, finding.message, seq=finding.seq)
        total, chain = source.length(), self._chain
        checkpoints = self._parse_checkpoints(source.checkpoints(self._start))
        rows = source.entries(max(self._start - 1, 0))
        if self._start:
            self._check_head(next(rows, None))
        due = self._settle(next(checkpoints, None), checkpoints)
        for stored in rows:
            entry = chain.take(stored)
            if entry is not None and on_entry is not None:
                on_entry(entry)
            due = self._settle(due, checkpoints)
            if on_progress is not None and chain.frontier.size % PROGRESS_EVERY == 0:
                on_progress(chain.frontier.size, total)
        if on_progress is not None:
            on_progress(chain.frontier.size, total)
        if due is not None:
            self._report_truncated("a checkpoint", due.size)
        self._complete = True

    def _check_head(self, stored: StoredEntry | None) -> None:
        if stored is None:
            self._report_truncated("the saved state", self._start)
        elif stored.seq != self._start - 1 or leaf_hash(stored.octets) != self._chain.head:
            self.findings.add(
                Code.NOT_RESUMABLE, "this is not the entry that the saved state ended with", seq=stored.seq
            )

    def _parse_checkpoints(self, rows: Iterator[StoredCheckpoint]) -> Iterator[Checkpoint]:
        for stored in rows:
            at = "" if stored.size is None else f" of size {stored.size}"
            try:
                checkpoint = parse_checkpoint(stored.note)
            except MalformedError as error:
                self.findings.add(Code.BAD_CHECKPOINT, f"the checkpoint{at}: {error}")
                continue
            if stored.size not in (None, checkpoint.size):
                self.findings.add(Code.BAD_CHECKPOINT, f"the checkpoint{at} is of size {checkpoint.size}")
                continue
            yield checkpoint

    def _settle(self, due: Checkpoint | None, following: Iterator[Checkpoint]) -> Checkpoint | None:
        """Check the checkpoints that the entries read so far reach; return the next one."""
        if self._earlier is not None and self._earlier.size == self._chain.frontier.size:
            self._check_extends(self._earlier)
        while due is not None and due.size <= self._chain.frontier.size:
            complaints = list(self._checkpoint_complaints(due))
            for code, message in complaints:
                self.findings.add(code, f"the checkpoint of size {due.size}: {message}", seq=due.size - 1)
            if not complaints and self._chain.origin is not None:
                self._chain.cover(due.size, due.root)
            due = next(following, None)
        return due

    def _checkpoint_complaints(self, checkpoint: Checkpoint) -> Iterator[Complaint]:
        chain = self._chain
        root = chain.frontier.root()
        if checkpoint.root != root:
            yield Code.WRONG_ROOT, f"its root is {checkpoint.root.hex()}, the entries give {root.hex()}"
        if chain.origin is None:
            return  # entry 0 named neither origin nor key, which is a finding of its own
        if checkpoint.origin != chain.origin:
            yield Code.WRONG_ORIGIN, f"it is of {checkpoint.origin}, expected {chain.origin}"
        try:
            signers = checkpoint.note.signers(chain.keys.known)
        except MalformedError as error:
            yield Code.BAD_SIGNATURE, str(error)
            return
        for key in chain.keys.required:
            if key.text in signers:
                continue
            replaced = key is not chain.keys.known[-1]
            if replaced and not self._source.keeps_checkpoints:
                yield Code.MISSING_HAND_OVER, f"no checkpoint hands over from {key.text} to the key after it"
            else:
                yield Code.MISSING_SIGNATURE, f"{key.text} did not sign it"

    def _check_extends(self, earlier: Checkpoint) -> None:
        root = self._chain.root_at(earlier.size)
        if root is None:
            self.findings.add(
                Code.EARLIER_UNREACHED,
                f"the root at size {earlier.size} was not recomputed; verify from the beginning",
            )
        elif earlier.root != root or self._chain.origin not in (None, earlier.origin):
            self.findings.add(
                Code.FORKED,
                f"the earlier checkpoint is of {earlier.origin} and has root {earlier.root.hex()} at size"
                f" {earlier.size}; the log is of {self._chain.origin} and has {root.hex()}",
                seq=earlier.size - 1,
            )

    def _report_truncated(self, what: str, size: int) -> None:
        self.findings.add(
            Code.TRUNCATED, f"{what} is of size {size}, the log has {self._chain.frontier.size} entries"
        )

    def conclude(self) -> None:
        """Add what can only be said at the end: what is missing."""
        chain = self._chain
        if self._earlier is not None:
            self._conclude_earlier(self._earlier)
        if self._pinned is None:
            self.findings.add(
                Code.NO_PINNED_KEY,
                "no ledger key was given: the log was checked against the key that it names itself",
            )
        if not chain.frontier.size:
            self.findings.add(Code.EMPTY_LOG, "no entry was read")
        elif not chain.checkpoint_size:
            self.findings.add(Code.NO_CHECKPOINT, "no checkpoint covers any entry")
        elif chain.checkpoint_size < chain.frontier.size:
            self.findings.add(
                Code.UNSIGNED_TAIL,
                "no checkpoint covers this entry and those after",
                seq=chain.checkpoint_size,
            )

    def _conclude_earlier(self, earlier: Checkpoint) -> None:
        try:
            if not earlier.note.signers(self._chain.keys.known):
                self.findings.add(Code.EARLIER_UNSIGNED, "no key of this log signed the earlier checkpoint")
        except MalformedError as error:
            self.findings.add(Code.EARLIER_UNSIGNED, f"the earlier checkpoint: {error}")
        if earlier.size > self._chain.frontier.size and self._complete:
            self._report_truncated("the earlier checkpoint", earlier.size)
        elif earlier.size > self._chain.frontier.size:
            self.findings.add(Code.EARLIER_UNREACHED, "reading ended before the earlier checkpoint's size")

    def report(self) -> Report:
        """Return the outcome."""
        chain, verdict = self._chain, self.findings.verdict
        return Report(
            verdict=verdict,
            findings=tuple(self.findings),
            counts=tuple(sorted(self.findings.counts.items())),
            origin=chain.origin,
            size=chain.frontier.size,
            root=chain.frontier.root().hex(),
            checkpoint_size=chain.checkpoint_size,
            unsigned_tail=chain.frontier.size - chain.checkpoint_size,
            kinds=tuple(sorted(chain.kinds.items())),
            ledger_key=chain.keys.known[-1].text if chain.keys.known else None,
            resumed_from=self._start,
            resume=None if verdict is Verdict.TAMPERED else self._state(),
        )

    def _state(self) -> ResumeState | None:
        chain = self._chain
        if chain.origin is None or not chain.frontier.size:
            return None
        return ResumeState(
            origin=chain.origin,
            frontier=chain.frontier,
            head=chain.head,
            time_ms=chain.time_ms,
            keys=tuple(key.text for key in chain.keys.known),
            signing=chain.keys.signing,
            checkpoint_size=chain.checkpoint_size,
            checkpoint_root=chain.checkpoint_root,
            inconclusive=sum(self.findings.counts[code] for code in LASTING_CODES),
        )
