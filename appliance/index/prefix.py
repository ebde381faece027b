"""A moment of the past is a beginning of the ledger: the entries up to it, and none after.

Entries' times never go back, so whatever is asked of a moment is a question about such a beginning, and
entries of one and the same millisecond are no difficulty: all of them belong to it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The first ``upto`` entries of a ledger of ``size``: those whose time is not after ``at_ms``."""

    size: int
    upto: int
    at_ms: int

    @property
    def at_s(self) -> int:
        """The moment in whole seconds, as certificates count."""
        return self.at_ms // 1000

    @property
    def settled(self) -> bool:
        """Whether no later entry can belong to it: one that is younger is on record."""
        return self.upto < self.size
