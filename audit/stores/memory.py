"""A store that forgets everything with its process: for tests, and for trying things out."""

from __future__ import annotations

from collections.abc import Iterator

from audit.errors import StoreError


class MemoryStore:
    """Rows in lists. It is also its own reader."""

    def __init__(self) -> None:
        self._entries: list[tuple[bytes, bytes]] = []
        self._checkpoints: list[tuple[int, str]] = []
        self._undo: tuple[int, int] | None = None

    def rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield every entry."""
        for seq, (leaf, raw) in enumerate(self._entries):
            yield seq, leaf, raw

    def size(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of some entries."""
        for _, raw in self._entries[start:end]:
            yield raw

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Yield every checkpoint."""
        yield from self._checkpoints

    def begin(self) -> None:
        """Begin a transaction."""
        self._undo = (len(self._entries), len(self._checkpoints))

    def add_entry(self, seq: int, leaf: bytes, raw: bytes) -> None:
        """Add an entry."""
        if seq != len(self._entries):
            raise StoreError(f"got entry {seq}, expected {len(self._entries)}: the ledger is append-only")
        self._entries.append((leaf, raw))

    def add_checkpoint(self, size: int, note: str, time_ms: int) -> None:  # noqa: ARG002 - kept by SQLite only
        """Add a checkpoint."""
        if self._checkpoints and size <= self._checkpoints[-1][0]:
            raise StoreError(
                f"got a checkpoint of size {size}, expected more than {self._checkpoints[-1][0]}"
            )
        self._checkpoints.append((size, note))

    def commit(self) -> None:
        """End the transaction."""
        self._undo = None

    def rollback(self) -> None:
        """Undo the transaction."""
        if self._undo is not None:
            entries, checkpoints = self._undo
            del self._entries[entries:], self._checkpoints[checkpoints:]
            self._undo = None

    def close(self) -> None:
        """Do nothing."""
