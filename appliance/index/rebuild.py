"""The index built from nothing, beside the one that is there, and put in its place when it is whole.

Works the same whether the service runs or not. The new file is complete and closed before it gets its name,
so readers see the old index or the new one, but for an instant in which there is none; each looks before a
question which file is at the path. The process that follows the ledger looks too, before each step, and goes
on where the new file ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.index.projection import Projection
from appliance.index.recorded import read_entry
from appliance.index.schema import complete, open_for_building, state_hash

_PORTION: Final = 4_000

# Gives the entries from one up to, not including, another, or the first of them.
ReadEntries = Callable[[int, int], list[bytes]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An index that was built: of how many entries, and the hash of all that it says."""

    size: int
    state_hash: str


def build_index(
    path: Path, read: ReadEntries, size: int, on_progress: Progress = lambda _done, _all: None
) -> Built:
    """Build the index of the first ``size`` entries in a new file.

    Raises:
        OutOfOrder, NotAnEntry: what was read is not the ledger.
    """
    db = open_for_building(path)
    try:
        projection = Projection(db)
        while projection.size < size:
            raws = read(projection.size, min(size, projection.size + _PORTION))
            projection.apply([read_entry(raw) for raw in raws])
            on_progress(projection.size, size)
        complete(db)
        return Built(size=size, state_hash=state_hash(db))
    finally:
        db.conn.close()


def rebuild_index(path: Path, read: ReadEntries, size: int, on_progress: Progress) -> Built:
    """Build the index anew and put it in the place of the one at ``path``, for the same readers."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        built = build_index(new, read, size, on_progress)
        owner = path.parent.stat()
        os.chown(new, owner.st_uid, owner.st_gid)
        _sync(new)
        _replace(path, new)
    finally:
        for left in path.parent.glob(f"{new.name}*"):
            left.unlink()
    return built


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, new: Path) -> None:
    """Give the new file its name.

    The old one goes first, with its -wal: beside the new file that would be taken for the new one's, and its
    pages for younger ones. Whoever has the old file open keeps what belongs to it. A crash in between leaves
    no index, and the next start builds one; an old -wal without its file SQLite removes.
    """
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    new.replace(path)
