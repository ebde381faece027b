"""The ledger as static files, in the layout of c2sp.org/tlog-tiles.

``checkpoint``                       the newest checkpoint that all the rest is complete for
``tile/<L>/<N>[.p/<W>]``             hashes: 256, or the first W, subtree hashes of level 8·L from N·256 on
``tile/entries/<N>[.p/<W>]``         entries: each its length as two bytes, big-endian, and its bytes

N stands in groups of three digits, all but the last begun by an x: 1234067 is ``x001/x234/067``. What is
complete never changes; of what is not, the partial tiles of the last two checkpoints are kept.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

from audit.checkpoint import Checkpoint, parse_checkpoint
from audit.entry import leaf_hash
from audit.errors import LedgerError, TilesDamaged
from audit.merkle import HASH_SIZE, Frontier, hash_children
from audit.note import parse_note
from audit.stores.store import Reader

WIDTH: Final = 256
LEVEL_BITS: Final = 8
ENTRIES: Final = "entries"
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|[0-9]{1,2})/(?P<index>(x[0-9]{3}/)*[0-9]{3})(\.p/(?P<width>[0-9]{1,3}))?"
)
_LENGTH: Final = struct.Struct(">H")
_CACHED: Final = 4_096  # full tiles, 8 KiB each
_ATTEMPTS: Final = 3


def format_tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Format the path of a tile, or with :data:`ENTRIES` for a level that of an entry bundle."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    path = f"tile/{level}/{'/'.join(groups)}"
    return path if width == WIDTH else f"{path}.p/{width}"


def parse_tile_path(path: str) -> tuple[int | str, int, int]:
    """Parse a tile's path into level, index and width: the inverse of :func:`format_tile_path`.

    Raises:
        TilesDamaged: no tile has this path.
    """
    found = _PATH.fullmatch(path)
    if found is not None:
        level = ENTRIES if found["level"] == ENTRIES else int(found["level"])
        index = int(found["index"].replace("x", "").replace("/", ""))
        width = int(found["width"] or WIDTH)
        if 0 < width <= WIDTH and format_tile_path(level, index, width) == path:
            return level, index, width
    raise TilesDamaged(f"{path[:80]}: no tile has this path")


class TileWriter:
    """Grows an export. One process at a time; a crash at any point leaves what the checkpoint says intact."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.size = 0
        self._entries: list[bytes] = []
        # For each level of tiles the hashes of the one that is not yet full.
        self._rows: list[list[bytes]] = [[]]
        self._widths: dict[str, list[int]] = {}
        # What was written since the last checkpoint, and the names that it gets with the next.
        self._unnamed: list[tuple[Path, Path]] = []

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Go on where the published checkpoint ends, or begin.

        Raises:
            TilesDamaged: the tiles at the right edge are not those of the checkpoint.
        """
        directory.mkdir(parents=True, exist_ok=True)
        writer = cls(directory)
        if (directory / "checkpoint").exists():
            writer._resume(TileReader(directory))
        return writer

    def append(self, entries: Sequence[bytes]) -> None:
        """Add entries. Tiles that become full are written, but nobody sees them before :meth:`publish`."""
        for raw in entries:
            self._entries.append(raw)
            self._add_hash(0, leaf_hash(raw))
            self.size += 1
            if len(self._entries) == WIDTH:
                self._write(format_tile_path(ENTRIES, self.size // WIDTH - 1), _join(self._entries))
                self._entries.clear()

    def publish(self, note: str) -> Checkpoint:
        """Complete the tiles for a checkpoint over all that was added, and put it in its place.

        That its signature is good has been verified by whoever hands it over.

        Raises:
            TilesDamaged: it is of another size, or the tiles have another root; nothing is published then.
        """
        checkpoint = parse_checkpoint(parse_note(note).text)
        if (checkpoint.size, checkpoint.root) != (self.size, self._frontier().root()):
            raise TilesDamaged(
                f"{self._directory}: the tiles of {self.size} entries are not those of a checkpoint over "
                f"{checkpoint.size}; remove the directory and export again"
            )
        if self._entries:
            self._write_partial(ENTRIES, self.size // WIDTH, _join(self._entries), len(self._entries))
        for level, row in enumerate(self._rows):
            if row:
                index = self.size >> LEVEL_BITS * (level + 1)
                self._write_partial(level, index, b"".join(row), len(row))
        # Everything that the checkpoint is about is on the disk before the checkpoint is.
        self._name()
        self._write("checkpoint", note.encode())
        self._name()
        return checkpoint

    def _resume(self, reader: TileReader) -> None:
        self.size = size = reader.size()
        self._entries = list(reader.entries(size - size % WIDTH, size))
        self._rows = []
        while size >> LEVEL_BITS * len(self._rows):
            level = len(self._rows)
            count = size >> LEVEL_BITS * level
            row = reader.row(level, count // WIDTH, count % WIDTH) if count % WIDTH else b""
            self._rows.append([row[at : at + HASH_SIZE] for at in range(0, len(row), HASH_SIZE)])
        self._rows = self._rows or [[]]
        leaves: list[bytes] = [leaf_hash(raw) for raw in self._entries]
        if leaves != self._rows[0] or self._frontier().root() != reader.published().root:
            raise TilesDamaged(
                f"{self._directory}: the last tiles are not those of the checkpoint; remove the directory "
                "and export again"
            )

    def _add_hash(self, level: int, value: bytes) -> None:
        if level == len(self._rows):
            self._rows.append([])
        row = self._rows[level]
        row.append(value)
        if len(row) == WIDTH:
            # The size grows after this, so the tile's number is that of the entry that completes it.
            self._write(format_tile_path(level, self.size >> LEVEL_BITS * (level + 1)), b"".join(row))
            full = complete_root(row)
            row.clear()
            self._add_hash(level + 1, full)

    def _frontier(self) -> Frontier:
        """Return the right edge of the tree, from the right edges of its tiles."""
        hashes: list[bytes] = []
        for row in reversed(self._rows):
            start = 0
            for bit in reversed(range(LEVEL_BITS)):
                if len(row) >> bit & 1:
                    hashes.append(complete_root(row[start : start + (1 << bit)]))
                    start += 1 << bit
        return Frontier(self.size, tuple(hashes))

    def _write_partial(self, level: int | str, index: int, content: bytes, width: int) -> None:
        self._write(format_tile_path(level, index, width), content)
        directory = (self._directory / format_tile_path(level, index, width)).parent
        widths = self._widths.setdefault(str(directory), _widths_in(directory))
        if width not in widths:
            widths.append(width)
        while len(widths) > 2:  # the last published checkpoint's are still read
            (directory / str(widths.pop(0))).unlink(missing_ok=True)

    def _write(self, path: str, content: bytes) -> None:
        """Write a file that gets its name when what it belongs to is published."""
        target = self._directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.new")
        temporary.write_bytes(content)
        self._unnamed.append((temporary, target))

    def _name(self) -> None:
        """Give the written files their names, so that each is there whole or not at all, whatever happens.

        Contents first, then names, then the directories: a name on the disk never stands for less.
        """
        for temporary, _ in self._unnamed:
            _sync(temporary, os.O_RDWR)
        for temporary, target in self._unnamed:
            temporary.replace(target)
        for directory in {target.parent for _, target in self._unnamed}:
            _sync(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._unnamed.clear()


class TileReader:
    """Reads an export, in any process, while it grows."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read_full = lru_cache(_CACHED)(self._read)

    def checkpoint(self) -> str:
        """Return the published checkpoint.

        Raises:
            TilesDamaged: there is none yet.
        """
        return self._read("checkpoint").decode("utf-8", "replace")

    def published(self) -> Checkpoint:
        """Return what the published checkpoint says. Its signature is for the reader to verify."""
        try:
            return parse_checkpoint(parse_note(self.checkpoint()).text)
        except LedgerError as error:
            raise TilesDamaged(f"{self._directory}/checkpoint: {error}") from error

    def size(self) -> int:
        """Return the number of entries."""
        return self.published().size

    def read_hash(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree, for proofs (see :mod:`audit.merkle`).

        Raises:
            TilesDamaged: its tile is missing or too short.
        """
        tile_level, inner = divmod(level, LEVEL_BITS)
        first = index << inner
        count = 1 << inner
        row = self.row(tile_level, first // WIDTH, first % WIDTH + count)
        at = first % WIDTH * HASH_SIZE
        leaves = [row[at + HASH_SIZE * each : at + HASH_SIZE * (each + 1)] for each in range(count)]
        return complete_root(leaves)

    def row(self, level: int, index: int, width: int) -> bytes:
        """Return the first ``width`` hashes of a tile, from the narrowest file that has them."""
        return self._widest(level, index, width)[: width * HASH_SIZE]

    def entry(self, seq: int) -> bytes:
        """Return the bytes of an entry.

        Raises:
            TilesDamaged: its bundle is missing.
        """
        return next(self.entries(seq, seq + 1))

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of the entries from ``start`` up to, not including, ``end``."""
        while start < end:
            index, offset = divmod(start, WIDTH)
            width = min(WIDTH, end - index * WIDTH)
            for raw in _split(self._widest(ENTRIES, index, width), width)[offset:]:
                yield raw
                start += 1

    def read_tile(self, path: str) -> bytes:
        """Return a tile's bytes by its path, for whoever mirrors the export.

        A part that is no longer kept as a file is cut from a wider one: the bytes are the same.

        Raises:
            TilesDamaged: there is none.
        """
        level, index, width = parse_tile_path(path)
        if isinstance(level, int):
            return self.row(level, index, width)
        return _join(_split(self._widest(level, index, width), width))

    def _widest(self, level: int | str, index: int, width: int) -> bytes:
        full = format_tile_path(level, index)
        directory = self._directory / f"{full}.p"
        for _ in range(_ATTEMPTS):
            if (self._directory / full).is_file():
                return self._read_full(full)
            found = [each for each in _widths_in(directory) if each >= width]
            # The writer may have put a wider one in its place since, and removed it.
            with suppress(TilesDamaged):
                return self._read(f"{full}.p/{min(found, default=width)}")
        raise TilesDamaged(f"{directory}: no tile of {width} or more; remove the export and make it anew")

    def _read(self, path: str) -> bytes:
        try:
            return (self._directory / path).read_bytes()
        except OSError as error:
            raise TilesDamaged(f"{self._directory / path}: {error.strerror}") from error


def export_ledger(
    reader: Reader, directory: Path, on_progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Checkpoint:
    """Export a ledger up to its newest checkpoint, into a new directory or one that is an older export.

    Raises:
        TilesDamaged: the directory holds the export of another log, or a damaged one.
    """
    newest = max(reader.checkpoints(), default=None)
    if newest is None:
        raise LedgerError("no checkpoint has been signed yet: there is nothing that an export could prove")
    size, note = newest
    writer = TileWriter.open(directory)
    while writer.size < size:
        writer.append(list(reader.entries(writer.size, min(size, writer.size + WIDTH))))
        on_progress(writer.size, size)
    return writer.publish(note)


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [hash_children(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def _join(entries: Sequence[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(raw)) + raw for raw in entries)


def _split(bundle: bytes, width: int) -> list[bytes]:
    entries: list[bytes] = []
    at = 0
    while len(entries) < width and at + _LENGTH.size <= len(bundle):
        (length,) = _LENGTH.unpack_from(bundle, at)
        entries.append(bundle[at + _LENGTH.size : at + _LENGTH.size + length])
        at += _LENGTH.size + length
    if len(entries) < width or at > len(bundle):
        raise TilesDamaged("an entry bundle is too short; remove the export and make it anew")
    return entries


def _widths_in(directory: Path) -> list[int]:
    try:
        return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())
    except FileNotFoundError:
        return []


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
