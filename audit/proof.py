"""Proofs that travel (c2sp.org/tlog-proof): an entry, its inclusion proof and the checkpoint, in one text.

::

    c2sp.org/tlog-proof@v1
    extra <base64 of the entry's bytes>
    index 17
    <base64 of a hash, one a line>

    ca.example.org/log/1
    …the signed checkpoint

For Chancery ``extra`` is the entry itself: whoever verifies hashes it, and needs nothing else but the key.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.entry import MAX_ENTRY_BYTES, leaf_hash
from audit.errors import ProofError
from audit.merkle import HASH_SIZE, verify_inclusion
from audit.note import VerifierKey

HEADER: Final = "c2sp.org/tlog-proof@v1"
MAX_HASHES: Final = 63
MAX_PROOF: Final = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """An entry's bytes, where it stands, the hashes beside its path, and a signed checkpoint."""

    extra: bytes
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str


def format_proof(proof: TlogProof) -> str:
    """Format a proof."""
    hashes = "".join(f"{base64.b64encode(value).decode()}\n" for value in proof.hashes)
    extra = base64.b64encode(proof.extra).decode()
    return f"{HEADER}\nextra {extra}\nindex {proof.index}\n{hashes}\n{proof.checkpoint}"


def parse_proof(text: str) -> TlogProof:
    """Parse a proof of an entry; the exact inverse of :func:`format_proof`. Verifies nothing.

    Raises:
        ProofError: it is not one.
    """
    if len(text) > MAX_PROOF:
        raise ProofError(f"got {len(text)} characters, expected at most {MAX_PROOF}")
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or len(lines) < 3 or lines[0] != HEADER:
        raise ProofError(f"expected {HEADER}, an extra and an index line, hashes, a blank line, a checkpoint")
    extra, index = _after(lines[1], "extra "), _after(lines[2], "index ")
    if not (index.isascii() and index.isdigit() and len(index) <= 16) or len(lines) > 3 + MAX_HASHES:
        raise ProofError(f"index: expected a decimal number, then at most {MAX_HASHES} hashes")
    proof = TlogProof(
        extra=_decode(extra),
        index=int(index),
        hashes=tuple(_decode(line) for line in lines[3:]),
        checkpoint=checkpoint,
    )
    if format_proof(proof) != text or any(len(value) != HASH_SIZE for value in proof.hashes):
        raise ProofError("not the canonical form of a proof")
    return proof


def verify_proof(proof: TlogProof, key: VerifierKey) -> Checkpoint:
    """Verify that the entry is in the log as the checkpoint's signer knew it; return the checkpoint.

    What the entry means is not looked at.

    Raises:
        NoteError: ``key`` did not sign the checkpoint.
        ProofError: the entry is not where the proof says.
    """
    if len(proof.extra) > MAX_ENTRY_BYTES:
        raise ProofError(f"extra: got {len(proof.extra)} bytes, expected at most {MAX_ENTRY_BYTES}")
    checkpoint = open_checkpoint(proof.checkpoint, key)
    verify_inclusion(leaf_hash(proof.extra), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return checkpoint


def _after(line: str, word: str) -> str:
    if not line.startswith(word):
        raise ProofError(f"got {line[:40]!r}, expected a line that begins with {word.strip()}")
    return line.removeprefix(word)


def _decode(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofError(f"got {encoded[:40]!r}, expected base64") from error
