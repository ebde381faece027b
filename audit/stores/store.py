"""The seam between a ledger and where its bytes are kept.

A store keeps rows and answers for their durability; it neither hashes nor parses. Every implementation
passes one contract suite.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Reader(Protocol):
    """Reads what is durable, without being in the writer's way."""

    def size(self) -> int:
        """Return the number of entries."""

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of the entries from ``start`` up to, not including, ``end``."""

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Yield size and note of every checkpoint, in order of size."""

    def close(self) -> None:
        """Release what the reader holds."""


class Store(Protocol):
    """The one writer of a ledger's rows. Between ``begin`` and ``commit`` nothing is durable."""

    def rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield seq, stored leaf hash and bytes of every entry, in order of seq."""

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Yield size and note of every checkpoint, in order of size."""

    def begin(self) -> None:
        """Begin a transaction, or raise :class:`~audit.errors.StoreError`: nothing has happened then."""

    def add_entry(self, seq: int, leaf: bytes, raw: bytes) -> None:
        """Add an entry; ``seq`` is the next one."""

    def add_checkpoint(self, size: int, note: str, time_ms: int) -> None:
        """Add a checkpoint; ``size`` is above that of every other."""

    def commit(self) -> None:
        """Make the transaction durable. When this raises, nobody knows whether it is."""

    def rollback(self) -> None:
        """Undo the transaction; without one, do nothing."""

    def close(self) -> None:
        """Release the store, so that another process can open it."""
