"""What a verification reads from: entries and checkpoints as stored, none of it believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .report import Finding


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry at the place where it is stored; ``leaf`` is the hash stored beside it, if there is one."""

    seq: int
    leaf: bytes | None
    octets: bytes


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """One checkpoint; ``size`` is the key it is stored under, if there is one."""

    size: int | None
    note: bytes


class EntrySource(Protocol):
    """A ledger at rest. Its methods raise DamageError where it cannot be read any further.

    ``keeps_checkpoints`` says whether every checkpoint ever signed should be there.
    """

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether a checkpoint that is not there was taken away, or may never have been put there."""

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the container itself: schema, tiles."""

    def length(self) -> int:
        """Return how many entries there seem to be; for progress alone, never relied upon."""

    def entries(self, start: int) -> Iterator[StoredEntry]:
        """Yield entries from ``start`` on, by ascending seq, as they are."""

    def checkpoints(self, start: int) -> Iterator[StoredCheckpoint]:
        """Yield checkpoints of size ``start`` and more, by ascending size."""
