"""The state that lets a later verification go on where an earlier one ended.

It is small, and it is the auditor's own: whoever can change it can make the verifier believe in a prefix
that never was, so it belongs where the pinned key is kept, not beside the log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from .errors import MalformedError, UsageError
from .merkle import Frontier, LeafHash, RootHash
from .shapes import integer, list_of, matching, record, vkey

_HASH: Final = matching(r"[0-9a-f]{64}", "64 lower-case hex digits")
_STATE: Final = record(
    {
        "state": matching("chancery/verifier/v1", "chancery/verifier/v1"),
        "origin": matching(r"[^\s+\x00-\x1f]{1,255}", "an origin"),
        "size": integer(1),
        "frontier": list_of(_HASH, least=1),
        "head": _HASH,
        "time_ms": integer(),
        "keys": list_of(vkey, least=1),
        "signing": integer(),
        "checkpoint_size": integer(),
        "checkpoint_root": _HASH,
        "inconclusive": integer(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeState:
    """What a verification knows after ``frontier.size`` entries.

    ``keys`` are the ledger keys so far, the one of entry 0 first; those from index ``signing`` on must sign
    the next checkpoint. ``inconclusive`` counts the findings that no later pass can make up for.
    """

    origin: str
    frontier: Frontier
    head: LeafHash
    time_ms: int
    keys: tuple[str, ...]
    signing: int
    checkpoint_size: int
    checkpoint_root: RootHash
    inconclusive: int

    def to_data(self) -> dict[str, object]:
        """Return the state as JSON data."""
        return {
            "state": "chancery/verifier/v1",
            "origin": self.origin,
            "size": self.frontier.size,
            "frontier": [item.hex() for item in self.frontier.hashes],
            "head": self.head.hex(),
            "time_ms": self.time_ms,
            "keys": list(self.keys),
            "signing": self.signing,
            "checkpoint_size": self.checkpoint_size,
            "checkpoint_root": self.checkpoint_root.hex(),
            "inconclusive": self.inconclusive,
        }

    def to_json(self) -> str:
        """Render the state for a file of the auditor's."""
        return json.dumps(self.to_data(), sort_keys=True, indent=2)

    @classmethod
    def from_json(cls, text: str) -> ResumeState:
        """Parse what :meth:`to_json` made.

        Raises:
            UsageError: it is anything else.
        """
        try:
            data = json.loads(text)
            _STATE(data)
            state = cls(
                origin=data["origin"],
                frontier=Frontier(data["size"], tuple(map(bytes.fromhex, data["frontier"]))),
                head=LeafHash(bytes.fromhex(data["head"])),
                time_ms=data["time_ms"],
                keys=tuple(data["keys"]),
                signing=data["signing"],
                checkpoint_size=data["checkpoint_size"],
                checkpoint_root=RootHash(bytes.fromhex(data["checkpoint_root"])),
                inconclusive=data["inconclusive"],
            )
        except (ValueError, RecursionError, MalformedError) as error:
            raise UsageError(
                f"the saved state cannot be used ({error}): verify from the beginning"
            ) from error
        if state.signing >= len(state.keys) or state.checkpoint_size > state.frontier.size:
            raise UsageError("the saved state contradicts itself: verify from the beginning")
        return state
