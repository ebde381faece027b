"""What a refusal records of who asked for what: as much as always fits an entry. Pure.

An intent that is too long is refused, and its caller asks for less. A refusal is on record whatever was
asked, or who wants none on record would only have to ask for much. What is long is recorded without the ends
of its lists, and with the SHA-256 of what it was: it can be compared with, and is not replayed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

from audit.entry import canonical_json

# Of the 60,000 bytes of an entry. A request without its lists is a key and a reason: 16 kB at most.
MAX_REQUEST: Final = 16_384
MAX_IDENTITY: Final = 8_192
# Of a list that is cut: a request has five of them, an identity two. A name has at most 1,024 bytes.
MAX_LIST: Final = 2_048


def shorten(data: Mapping[str, object], most: int) -> tuple[Mapping[str, object], str | None]:
    """Return data as they are if they have at most so many bytes; else with lists cut, and their SHA-256.

    What has no list that is long is whole after all, and needs none.

    Raises:
        EntryError: the data have no form in the format.
    """
    encoded = canonical_json(data)
    if len(encoded) <= most:
        return data, None
    cut = {name: _cut(value) if isinstance(value, list) else value for name, value in data.items()}
    return cut, None if cut == data else hashlib.sha256(encoded).hexdigest()


def _cut(values: list[object]) -> list[object]:
    """Return the first of the values: those that fit, each with its comma."""
    sizes = accumulate(len(canonical_json(value)) + 1 for value in values)
    return [value for value, size in zip(values, sizes, strict=True) if size <= MAX_LIST]
