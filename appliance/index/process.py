"""The index as a process: follows the ledger through the authority, and writes index.db and the tiles.

It ends without closing index.db. A clean close by the last connection removes ``-wal`` and ``-shm``, without
which a reader that may not write cannot open a database in WAL mode.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any, Final

from sqlite_utils.utils import sqlite3

from appliance.alarms.couriers import start_couriers
from appliance.authority.transport.client import AuthorityClient
from appliance.config import HOLD_FILE, Config
from appliance.errors import ChanceryError, Refusal
from appliance.index.projection import Projection
from appliance.index.recorded import read_entry
from audit.errors import LedgerError, TilesDamaged
from audit.tiles import TileWriter

log = logging.getLogger(__name__)

# The authority answers as soon as there is an entry; this is how long it is asked to wait for one.
# After that it looks whether index.db was rebuilt meanwhile: its readers wait for that.
POLL_S: Final = 0.5
RETRY_S: Final = 0.5
# Steps begin so far apart: under load ten commits a second take all that a hundred would, for a part of the
# work. What comes after a quiet time is taken at once.
GATHER_S: Final = 0.1


class Index:
    """Everything that is derived from the ledger, and how far each part of it is."""

    def __init__(self, database: Path, tiles: Path) -> None:
        self._database = database
        self.projection = _open_projection(database)
        self._inode = database.stat().st_ino
        self._tiles = _open_tiles(tiles)
        # Entries that no checkpoint covers yet; tiles take only what one does.
        self._unsigned: list[bytes] = []
        self._published = self._tiles.size

    @property
    def next_seq(self) -> int:
        """The first entry that is still missing from one of the parts."""
        return min(self.projection.size, self._tiles.size + len(self._unsigned))

    def adopt(self) -> None:
        """Go on with the file that is at the index's path now: ``ledger rebuild-index`` puts another there.

        Until the next step nobody but this process writes it, so what the old one knew is not missed.
        """
        try:
            inode = self._database.stat().st_ino
        except FileNotFoundError:
            return  # the new one gets its name at this very moment: the next step finds it
        if inode != self._inode:
            self.projection.close()
            self.projection, self._inode = _open_projection(self._database), inode
            log.info("index.db was rebuilt: following from entry %d on", self.projection.size)

    def follow(self, start: int, raws: list[bytes], checkpoint: tuple[int, str] | None) -> None:
        """Take the entries from ``start`` on, and the newest checkpoint.

        Raises:
            LedgerError: they are no entries, or the tiles are not those of the checkpoint.
        """
        self.projection.apply([read_entry(raw) for raw in raws[max(0, self.projection.size - start) :]])
        held = self._tiles.size + len(self._unsigned)
        self._unsigned += raws[max(0, held - start) :]
        if checkpoint is not None:
            self._grow(*checkpoint)

    def _grow(self, size: int, note: str) -> None:
        """Give the tiles what the checkpoint covers; publish it once they have all of that."""
        covered = max(0, size - self._tiles.size)
        self._tiles.append(self._unsigned[:covered])
        del self._unsigned[:covered]
        if self._tiles.size == size > self._published:
            self._tiles.publish(note)
            self._published = size


def run_index(config: Config) -> int:
    """Follow the ledger until SIGTERM or SIGINT; return the exit code."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    index = Index(config.index, config.tiles)
    client = AuthorityClient(config.authority_socket)
    start_couriers(config, HOLD_FILE, stopping)
    log.info("following from entry %d on", index.next_seq)
    down = False
    while not stopping.is_set():
        began = time.monotonic()
        try:
            if _step(index, client):
                stopping.wait(max(0, began + GATHER_S - time.monotonic()))
            down = False
        except Refusal as refusal:
            if not down:
                log.warning("the authority does not answer: %s", refusal)
            down = True
            stopping.wait(RETRY_S)
        except (ChanceryError, LedgerError):
            log.exception("the index is not what the ledger says: it is built anew")
            discard_index(config)
            return 1
    log.info("stopped at entry %d", index.next_seq)
    os._exit(0)


def _step(index: Index, client: AuthorityClient) -> bool:
    """Take what there is, or the next that comes; say whether that was all."""
    index.adopt()
    start = index.next_seq
    reply: dict[str, Any] = client.call("entries", start=start, wait_s=POLL_S, timeout_s=POLL_S + 30)
    checkpoint = reply["checkpoint"]
    began = time.monotonic()
    index.follow(start, reply["entries"], None if checkpoint is None else (checkpoint[0], checkpoint[1]))
    if (took := time.monotonic() - began) > 1:
        log.info("%d entries in %.1f s, now at %d of %d", len(reply["entries"]), took, start, reply["size"])
    return bool(start + len(reply["entries"]) >= reply["size"])


def _open_projection(path: Path) -> Projection:
    path.parent.mkdir(exist_ok=True)
    try:
        return Projection.open(path)
    except sqlite3.DatabaseError:
        log.warning("%s cannot be used and is built anew", path.name)
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()
        return Projection.open(path)


def _open_tiles(directory: Path) -> TileWriter:
    try:
        return TileWriter.open(directory)
    except TilesDamaged as error:
        log.warning("%s", error)
        shutil.rmtree(directory)
        return TileWriter.open(directory)


def discard_index(config: Config) -> None:
    """Remove everything that is derived, so that it can be derived anew."""
    for each in config.index.parent.glob(f"{config.index.name}*"):
        each.unlink()
    shutil.rmtree(config.tiles, ignore_errors=True)
