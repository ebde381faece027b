"""Entries as the index takes them: read, not verified.

The authority has verified what it hands out, and the tiles are published only if their root is the one that
the ledger key has signed. So nothing is hashed or encoded here to be compared: that is most of the work of
:func:`audit.entry.decode_entry`, and the index reads every entry there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import orjson

from appliance.errors import ChanceryError
from audit.entry import Entry


class NotAnEntry(ChanceryError):
    """Bytes that are no entry: whoever gave them is not the authority that we know."""


class ReadEntry(NamedTuple):
    """An entry that was read and not verified."""

    seq: int
    time_ms: int
    kind: str
    data: Mapping[str, Any]
    raw: bytes


# Both have all that the index needs.
Recorded: TypeAlias = ReadEntry | Entry


def read_entry(raw: bytes) -> ReadEntry:
    """Read an entry's bytes.

    Raises:
        NotAnEntry: they are none.
    """
    try:
        fields = orjson.loads(raw)
        return ReadEntry(fields["seq"], fields["time_ms"], fields["kind"], fields["data"], raw)
    except (ValueError, KeyError, TypeError) as error:
        raise NotAnEntry(f"got {raw[:60]!r}, expected an entry of the ledger: {error}") from error
