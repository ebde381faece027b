"""Checkpoints (c2sp.org/tlog-checkpoint) of exactly three lines: origin, tree size, root hash."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .canonical import MAX_INTEGER
from .errors import MalformedError
from .merkle import HASH_SIZE, RootHash
from .note import Note, parse_base64, parse_note

_SIZE: Final = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head as its note states it; whether the note is signed is for the caller to ask of ``note``."""

    origin: str
    size: int
    root: RootHash
    note: Note


def parse_checkpoint(octets: bytes) -> Checkpoint:
    """Parse a note whose text is a checkpoint without extension lines.

    Size 0 is refused: a log's name and key stand in its entry 0, so there is nothing to sign before it.

    Raises:
        MalformedError: it is anything else.
    """
    note = parse_note(octets)
    lines = note.text.decode("utf-8").split("\n")
    if len(lines) != 4:
        raise MalformedError(f"got a checkpoint of {len(lines) - 1} lines, expected origin, size and root")
    origin, size, root, _ = lines
    if not origin:
        raise MalformedError("the checkpoint's origin is empty")
    if _SIZE.fullmatch(size) is None or int(size) > MAX_INTEGER:
        raise MalformedError(
            f"got tree size {size[:40]!r}, expected a decimal number from 1 to {MAX_INTEGER}"
        )
    root_hash = parse_base64(root)
    if len(root_hash) != HASH_SIZE:
        raise MalformedError(f"the checkpoint's root hash has {len(root_hash)} bytes, expected {HASH_SIZE}")
    return Checkpoint(origin=origin, size=int(size), root=RootHash(root_hash), note=note)
