"""Checkpoints (c2sp.org/tlog-checkpoint): what a log's key says about its size and root, as a signed note.

Exactly three lines, the origin, the size in decimal and the root hash in base64; extension lines are not
written and not read, because some witnesses refuse them. The key's name is the origin.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from audit.entry import RootHash
from audit.errors import NoteError
from audit.merkle import HASH_SIZE
from audit.note import NotePrivateKey, VerifierKey, sign_note, verify_note

MAX_SIZE: Final = 2**53 - 1
_TEXT: Final = re.compile(r"([^\s+\x00-\x1f\x7f]{1,255})\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The size and root hash of the log called ``origin`` at some moment."""

    origin: str
    size: int
    root: RootHash


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Format the text that is signed."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Parse a checkpoint's text; the exact inverse of :func:`format_checkpoint`.

    Raises:
        NoteError: it is not one.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise NoteError("expected three lines: an origin, a decimal size and a root hash in base64")
    try:
        root = base64.b64decode(match[3], validate=True)
    except binascii.Error as error:
        raise NoteError("root hash: not base64") from error
    checkpoint = Checkpoint(match[1], int(match[2]), RootHash(root))
    if len(root) != HASH_SIZE or checkpoint.size > MAX_SIZE or format_checkpoint(checkpoint) != text:
        raise NoteError("not the canonical form of a checkpoint")
    return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, private_key: NotePrivateKey) -> str:
    """Sign a checkpoint in its origin's name and return the note."""
    return sign_note(format_checkpoint(checkpoint), checkpoint.origin, private_key)


def open_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """Verify a signed checkpoint and return it. That the log is what it says is for a proof to show.

    Raises:
        NoteError: ``key`` did not sign it, or what it signed is no checkpoint of its log.
    """
    checkpoint = parse_checkpoint(verify_note(note, key))
    if checkpoint.origin != key.name:
        raise NoteError(f"got a checkpoint of {checkpoint.origin}, expected one of {key.name}")
    return checkpoint
