"""Proofs that travel, made from the tiles."""

from __future__ import annotations

from appliance.errors import Refusal
from audit.checkpoint import parse_checkpoint
from audit.merkle import inclusion_proof
from audit.note import parse_note
from audit.proof import TlogProof, format_proof
from audit.tiles import TileReader


def prove(tiles: TileReader, seq: int) -> str:
    """Return the proof that an entry is in the log, up to the newest checkpoint.

    Raises:
        Refusal: ``not-found``, no checkpoint covers it yet.
    """
    checkpoint = tiles.checkpoint()
    size = parse_checkpoint(
        parse_note(checkpoint).text
    ).size  # of this very text: another may be there already
    if seq >= size:
        raise Refusal("not-found", "no checkpoint covers it yet; one comes within seconds", retry_after_s=1)
    return format_proof(
        TlogProof(
            extra=tiles.entry(seq),
            index=seq,
            hashes=inclusion_proof(seq, size, tiles.read_hash),
            checkpoint=checkpoint,
        )
    )
