"""A ledger exported as static files in the layout of c2sp.org/tlog-tiles.

checkpoint   tile/<L>/<N>[.p/<W>]   tile/entries/<N>[.p/<W>]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Final, Self

from .checkpoint import parse_checkpoint
from .errors import DamageError, MalformedError, UsageError
from .merkle import HASH_SIZE, subtree_root
from .note import MAX_NOTE
from .report import Code, Finding
from .sources import StoredCheckpoint, StoredEntry

WIDTH: Final = 256
_HAND_OVER: Final = re.compile(r"checkpoint\.([1-9][0-9]{0,15})")
_MAX_BUNDLE: Final = WIDTH * (2 + 0xFFFF)


class TilesSource:
    """An export directory, complete as of its checkpoint.

    Where a tile or an entry bundle exists at several widths, the widest is read: the others are what an
    older tree left behind, which the layout allows.

    Raises:
        UsageError: the directory holds neither a checkpoint nor tiles.
    """

    keeps_checkpoints: Final = False

    def __init__(self, directory: str | Path) -> None:
        self._root = Path(directory)
        if not (self._root / "checkpoint").is_file() and not (self._root / "tile").is_dir():
            raise UsageError(f"{directory}: neither checkpoint nor tile/ in it; expected an exported ledger")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open between reads."""

    def findings(self) -> Iterator[Finding]:
        """Check that the tiles of the checkpoint's tree are there, and that each hash above level 0 is right.

        Level 0 is left to the comparison with the entries' own hashes.
        """
        level, width = 0, self.length()
        while width:
            yield from self._level_findings(level, width)
            level, width = level + 1, width // WIDTH

    def length(self) -> int:
        """Return the checkpoint's tree size, or 0 if there is no telling."""
        try:
            return parse_checkpoint(self._read("checkpoint", MAX_NOTE) or b"").size
        except MalformedError:
            return 0

    def entries(self, start: int) -> Iterator[StoredEntry]:
        """Yield the entries of each bundle in turn, until one is missing."""
        index = start // WIDTH
        while (bundle := self._widest("entries", index)) is not None:
            width, octets = bundle
            hashes = self._widest_hashes(index)
            for offset, entry in enumerate(_split_bundle(octets, index, width)):
                seq = index * WIDTH + offset
                if seq >= start:
                    yield StoredEntry(seq, hashes[offset] if offset < len(hashes) else None, entry)
            index += 1

    def checkpoints(self, start: int) -> Iterator[StoredCheckpoint]:
        """Yield the checkpoints that are there by size; a newest one that cannot be parsed comes first."""
        found: list[tuple[int, StoredCheckpoint]] = []
        for path in self._root.glob("checkpoint*"):
            size = _HAND_OVER.fullmatch(path.name)
            octets = self._read(path.name, MAX_NOTE) if size or path.name == "checkpoint" else None
            if octets is not None and size is not None:
                found.append((int(size[1]), StoredCheckpoint(int(size[1]), octets)))
            elif octets is not None:
                found.append((self.length() or start, StoredCheckpoint(None, octets)))
        found.sort(key=itemgetter(0))
        yield from (checkpoint for size, checkpoint in found if size >= start)

    def _level_findings(self, level: int, width: int) -> Iterator[Finding]:
        for index in range(-(-width // WIDTH)):
            expected = min(WIDTH, width - index * WIDTH)
            tile = self._hashes(level, index, expected)
            if tile is None:
                yield Finding(
                    code=Code.MISSING_TILE,
                    message=f"tile/{level}/{tile_path(index, expected)} is missing; there may be more",
                )
                return  # a forged size must not keep us looking for tiles that never were
            for offset, stored in enumerate(tile if level else ()):
                below = self._hashes(level - 1, index * WIDTH + offset, WIDTH)
                if below is not None and subtree_root(below) != stored:
                    yield Finding(
                        code=Code.ALTERED_TILE,
                        message=f"tile/{level}/{tile_path(index, expected)}: hash {offset} is not that of"
                        " the tile below it",
                    )

    def _hashes(self, level: int, index: int, width: int) -> list[bytes] | None:
        """Return the first ``width`` hashes of a tile, from the full tile if the partial one is gone."""
        for candidate in (width, WIDTH):
            path = f"tile/{level}/{tile_path(index, candidate)}"
            octets = self._read(path, WIDTH * HASH_SIZE)
            if octets is not None:
                return _split_hashes(octets, path, candidate)[:width]
        return None

    def _widest_hashes(self, index: int) -> list[bytes]:
        tile = self._widest("0", index)
        return _split_hashes(tile[1], f"tile/0/{tile_path(index, tile[0])}", tile[0]) if tile else []

    def _widest(self, kind: str, index: int) -> tuple[int, bytes] | None:
        full = self._read(f"tile/{kind}/{tile_path(index, WIDTH)}", _MAX_BUNDLE)
        if full is not None:
            return WIDTH, full
        folder = self._root / "tile" / kind / (tile_path(index, WIDTH) + ".p")
        widths = [width for width in range(1, WIDTH) if (folder / str(width)).is_file()]
        if not widths:
            return None
        octets = self._read(f"tile/{kind}/{tile_path(index, widths[-1])}", _MAX_BUNDLE)
        return None if octets is None else (widths[-1], octets)

    def _read(self, relative: str, limit: int) -> bytes | None:
        path = self._root / relative
        try:
            with path.open("rb") as file:
                octets = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DamageError(Code.UNREADABLE_SOURCE, f"{relative}: {error.strerror}") from error
        if len(octets) > limit:
            raise DamageError(Code.DAMAGED_SOURCE, f"{relative}: longer than the {limit} bytes it can have")
        return octets


def tile_path(index: int, width: int) -> str:
    """Return ``<N>[.p/<W>]``: groups of three digits, all but the last with an x before them."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([*("x" + group for group in groups[:-1]), groups[-1]])
    return path if width == WIDTH else f"{path}.p/{width}"


def _split_hashes(octets: bytes, path: str, width: int) -> list[bytes]:
    if len(octets) != width * HASH_SIZE:
        raise DamageError(Code.DAMAGED_SOURCE, f"{path}: got {len(octets)} bytes, expected {width} hashes")
    return [octets[at : at + HASH_SIZE] for at in range(0, len(octets), HASH_SIZE)]


def _split_bundle(octets: bytes, index: int, width: int) -> Iterator[bytes]:
    """Yield the entries of a bundle: ``width`` of them, each after its length as a big-endian uint16."""
    at = 0
    for offset in range(width):
        end = at + 2 + int.from_bytes(octets[at : at + 2], "big")
        if at + 2 > len(octets) or end > len(octets):
            raise DamageError(
                Code.DAMAGED_SOURCE,
                f"entry bundle {index} ends within an entry, or before its {width} entries",
                seq=index * WIDTH + offset,
            )
        yield octets[at + 2 : end]
        at = end
    if at != len(octets):
        raise DamageError(Code.DAMAGED_SOURCE, f"entry bundle {index} goes on after its {width} entries")
