"""The index derived anew from the ledger's own file, while nothing else writes to either."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.config import Config
from appliance.index.process import Index, discard_index
from audit.stores.store import Reader

_PORTION: Final = 1_000


def rebuild_index(config: Config, reader: Reader, on_progress: Callable[[int, int], None]) -> int:
    """Remove index and tiles and make them anew, up to the newest checkpoint; return the ledger's size.

    A crash on the way leaves a part of them, from where the index process, or another run, goes on.

    Raises:
        LedgerError: the ledger cannot be read, or its tiles are not those of its checkpoint.
    """
    discard_index(config)
    index = Index(config.index, config.tiles)
    size, newest = reader.size(), max(reader.checkpoints(), default=None)
    for start in range(0, size, _PORTION):
        end = min(size, start + _PORTION)
        index.follow(start, list(reader.entries(start, end)), newest)
        on_progress(end, size)
    _give_to_owner(config.index_directory)
    return size


def _give_to_owner(directory: Path) -> None:
    """Give what root has made to the user whose directory it is: the index process writes on."""
    owner = directory.stat()
    if os.geteuid() != owner.st_uid:
        for path in directory.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)
