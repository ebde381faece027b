"""Inclusion proofs as text (c2sp.org/tlog-proof): one entry, its place, and a checkpoint over it.

c2sp.org/tlog-proof@v1
extra <base64 of the entry bytes>
index 1
<base64 of a hash, from the leaf's sibling up>

<the checkpoint's note>
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .canonical import MAX_INTEGER
from .checkpoint import Checkpoint, parse_checkpoint
from .entry import MAX_ENTRY
from .errors import MalformedError
from .note import MAX_NOTE, parse_base64

HEADER: Final = "c2sp.org/tlog-proof@v1"
# A tree of 2^53 leaves has paths of 53 hashes, each a line of 44 characters.
MAX_PROOF: Final = 4 * (MAX_ENTRY // 3 + 1) + 53 * 45 + MAX_NOTE + 200

_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A parsed proof, nothing of it verified; ``extra`` is absent if the file has no such line."""

    extra: bytes | None
    index: int
    path: tuple[bytes, ...]
    checkpoint: Checkpoint


def parse_proof(text: str) -> Proof:
    """Parse a proof, the checkpoint in it included.

    Raises:
        MalformedError: it is anything else.
    """
    if len(text) > MAX_PROOF:
        raise MalformedError(f"the proof is longer than {MAX_PROOF} characters")
    head, blank, note = text.partition("\n\n")
    header, *lines = head.split("\n")
    if not blank or header != HEADER:
        raise MalformedError(f"expected the line {HEADER}, the proof, an empty line and a checkpoint")
    extra = (
        parse_base64(lines.pop(0).removeprefix("extra ")) if head.startswith(HEADER + "\nextra ") else None
    )
    index = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if index is None or int(index[1]) > MAX_INTEGER:
        raise MalformedError("expected a line with the entry's index, such as: index 17")
    return Proof(
        extra=extra,
        index=int(index[1]),
        path=tuple(map(parse_base64, lines)),
        checkpoint=parse_checkpoint(note.encode("utf-8", errors="surrogatepass")),
    )
