"""What a verification found: verdicts, findings, and the report that holds them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .resume import ResumeState

# A log altered at its beginning fails at every later checkpoint; a reader needs the first few of each code.
KEPT_PER_CODE: Final = 16


class Verdict(IntEnum):
    """The outcome, and the exit code that stands for it (3, usage, is :class:`~.errors.UsageError`)."""

    VERIFIED = 0
    TAMPERED = 1
    INCONCLUSIVE = 2


class Code(StrEnum):
    """What a finding is about. All of them mean tampering but those in ``INCONCLUSIVE_CODES``."""

    SCHEMA_MISMATCH = "schema-mismatch"
    UNEXPECTED_OBJECT = "unexpected-object"
    DAMAGED_SOURCE = "damaged-source"
    ALTERED_TILE = "altered-tile"
    MISSING_ENTRY = "missing-entry"
    ALTERED_LEAF = "altered-leaf"
    BAD_ENTRY = "bad-entry"
    WRONG_SEQ = "wrong-seq"
    BROKEN_CHAIN = "broken-chain"
    TIME_BACKWARDS = "time-backwards"
    BAD_DATA = "bad-data"
    NOT_OPENED = "not-opened"
    OPENED_AGAIN = "opened-again"
    WRONG_LEDGER_KEY = "wrong-ledger-key"
    WRONG_TREE_CLAIM = "wrong-tree-claim"
    BAD_CHECKPOINT = "bad-checkpoint"
    WRONG_ORIGIN = "wrong-origin"
    WRONG_ROOT = "wrong-root"
    BAD_SIGNATURE = "bad-signature"
    MISSING_SIGNATURE = "missing-signature"
    TRUNCATED = "truncated"
    FORKED = "forked"
    NOT_RESUMABLE = "not-resumable"
    BAD_PROOF = "bad-proof"

    NO_PINNED_KEY = "no-pinned-key"
    EMPTY_LOG = "empty-log"
    NO_CHECKPOINT = "no-checkpoint"
    UNSIGNED_TAIL = "unsigned-tail"
    MISSING_HAND_OVER = "missing-hand-over"
    UNKNOWN_KIND = "unknown-kind"
    UNCHECKED_TREE_CLAIM = "unchecked-tree-claim"
    MISSING_TILE = "missing-tile"
    UNREADABLE_SOURCE = "unreadable-source"
    EARLIER_UNSIGNED = "earlier-unsigned"
    EARLIER_UNREACHED = "earlier-unreached"
    INCONCLUSIVE_BEFORE = "inconclusive-before"
    PROOF_WITHOUT_ENTRY = "proof-without-entry"
    PROOF_UNSIGNED = "proof-unsigned"


INCONCLUSIVE_CODES: Final = frozenset(
    {
        Code.NO_PINNED_KEY,
        Code.EMPTY_LOG,
        Code.NO_CHECKPOINT,
        Code.UNSIGNED_TAIL,
        Code.MISSING_HAND_OVER,
        Code.UNKNOWN_KIND,
        Code.UNCHECKED_TREE_CLAIM,
        Code.MISSING_TILE,
        Code.UNREADABLE_SOURCE,
        Code.EARLIER_UNSIGNED,
        Code.EARLIER_UNREACHED,
        Code.INCONCLUSIVE_BEFORE,
        Code.PROOF_WITHOUT_ENTRY,
        Code.PROOF_UNSIGNED,
    }
)
# What a later pass cannot make up for: it stays with the saved state.
LASTING_CODES: Final = frozenset({Code.UNKNOWN_KIND, Code.UNCHECKED_TREE_CLAIM, Code.INCONCLUSIVE_BEFORE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong or missing; ``seq`` is the entry it is about, if it is about one."""

    code: Code
    message: str
    seq: int | None = None

    @property
    def verdict(self) -> Verdict:
        """What this finding alone makes of the log."""
        return Verdict.INCONCLUSIVE if self.code in INCONCLUSIVE_CODES else Verdict.TAMPERED

    def to_data(self) -> dict[str, object]:
        """Return the finding as JSON data; an absent ``seq`` is left out."""
        data: dict[str, object] = {
            "code": self.code,
            "message": self.message,
            "verdict": self.verdict.name.lower(),
        }
        if self.seq is not None:
            data["seq"] = self.seq
        return data


@dataclass(slots=True)
class Findings:
    """Collects findings in bounded memory: the first few of each code, and how many there were of each."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[Code] = field(default_factory=Counter)

    def add(self, code: Code, message: str, *, seq: int | None = None) -> None:
        """Count a finding, and keep it if it is among the first of its code."""
        self.counts[code] += 1
        if self.counts[code] <= KEPT_PER_CODE:
            self.kept.append(Finding(code=code, message=message, seq=seq))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.kept)

    @property
    def verdict(self) -> Verdict:
        """Tampered beats inconclusive; verified is what is left when nothing at all was found."""
        if not self.counts:
            return Verdict.VERIFIED
        return Verdict.INCONCLUSIVE if self.counts.keys() <= INCONCLUSIVE_CODES else Verdict.TAMPERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of one verification, of a log or of a bundle.

    ``size`` entries hash to ``root``; the newest checkpoint that held covers ``checkpoint_size`` of them and
    ``unsigned_tail`` come after it. Entries before ``resumed_from`` were not read again: for them this report
    rests on the one that its saved state came from. ``ledger_key`` is the key in force at the end, as the log
    itself names it. ``resume`` is absent after tampering, and for a bundle.
    """

    findings: tuple[Finding, ...]
    counts: tuple[tuple[Code, int], ...]
    verdict: Verdict
    origin: str | None = None
    size: int = 0
    root: str | None = None
    checkpoint_size: int = 0
    unsigned_tail: int = 0
    kinds: tuple[tuple[str, int], ...] = ()
    ledger_key: str | None = None
    resumed_from: int = 0
    resume: ResumeState | None = None

    @property
    def finding_count(self) -> int:
        """How many findings there were, the ones not kept included."""
        return sum(count for _, count in self.counts)

    def to_json(self) -> str:
        """Render the report as one JSON object, members in order, absent ones left out."""
        data: dict[str, object] = {
            "verdict": self.verdict.name.lower(),
            "findings": [finding.to_data() for finding in self.findings],
            "finding_count": self.finding_count,
            "counts": dict(self.counts),
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "checkpoint_size": self.checkpoint_size,
            "unsigned_tail": self.unsigned_tail,
            "kinds": dict(self.kinds),
            "ledger_key": self.ledger_key,
            "resumed_from": self.resumed_from,
            "resume": self.resume.to_data() if self.resume else None,
        }
        present = {name: value for name, value in data.items() if value is not None}
        return json.dumps(present, sort_keys=True, indent=2)
